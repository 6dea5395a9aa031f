"""`python -m musicrec` is the `musicrec` command."""

from musicrec.cli import run_command

if __name__ == "__main__":
    run_command()
