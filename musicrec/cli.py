"""The `musicrec` command: what is done for what a person types (`arguments`).

What a command needs is imported where it runs: `similar`, `doctor` and `config` answer without Spark, and a wrong
command line is refused at once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import NoReturn

from musicrec import console, exits
from musicrec.arguments import make_parser
from musicrec.operations.arguments import OPERATIONS
from musicrec.storage import environment


def run_command(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `main` as all that this process is for."""
    environment.end_process(main(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do what it says and return the exit code."""
    parsed = make_parser().parse_args(arguments)
    with console.showing(parsed.log, level=parsed.level):
        return exits.exit_code_of(lambda: _run(parsed), debug=parsed.debug)


def _quoted(path: str) -> str:
    # A path is no number, whatever it looks like.
    return json.dumps(path, ensure_ascii=False)


def _check_output(root: str) -> None:
    """Refuse what cannot be written before Spark takes its seconds to start."""
    from musicrec.storage.promises import check_writable
    from musicrec.storage.runs import open_root

    opened = open_root(root)
    # What a launcher says of a store, only the session knows.
    if opened.store.path() is not None or not environment.is_submitted():
        check_writable(opened)


def _run(arguments: argparse.Namespace) -> int | None:
    environment.check_supported()
    return COMMANDS[arguments.command](arguments)


def _refresh(arguments: argparse.Namespace) -> None:
    from musicrec.launch import check_device, read_config, session_for

    config = read_config(arguments.config, arguments.overrides)
    check_device(config.model.device)
    _check_output(config.output.root)
    reads = config.input.tracks
    has_tasks = not arguments.dry_run
    with session_for(config.spark, app_name="musicrec refresh", reads=reads, has_tasks=has_tasks) as session:
        from musicrec.refresh import plan, refresh

        if arguments.dry_run:
            found = plan(session, config, run_date=arguments.run_date)
            console.show_result("\n".join(f"{name}: {value}" for name, value in found.items()))
        else:
            day, why = arguments.run_date, arguments.accept or ""
            published = refresh(session, config, run_date=day, accept=why, promote=arguments.promote)
            console.show_result(published)


def _neighbors(arguments: argparse.Namespace) -> None:
    from musicrec.launch import read_config, session_for

    named = {"k": arguments.k, "target_recall": arguments.target_recall}
    own = [f"neighbors.{key}={value}" for key, value in named.items() if value is not None]
    config = read_config(
        arguments.config, [*arguments.overrides, *own, f"output.root={_quoted(arguments.output)}"]
    )
    _check_output(config.output.root)
    reads = arguments.vectors
    with session_for(config.spark, app_name="musicrec neighbors", reads=reads) as session:
        from musicrec.vectors.join import join_vectors
        from musicrec.vectors.read import VectorsInput

        columns = (arguments.id_column, arguments.vector_column)
        source = VectorsInput(arguments.vectors, *columns, arguments.metric)
        console.show_result(str(join_vectors(session, config, source, overwrite=arguments.overwrite)))


def _evaluate(arguments: argparse.Namespace) -> None:
    from musicrec.launch import check_device, read_config, session_for
    from musicrec.storage import plain
    from musicrec.storage.files import write_text
    from musicrec.storage.sections import open_section

    config = read_config(arguments.config, arguments.overrides)
    check_device(config.model.device)
    # Looked up before minutes of work.
    section = open_section(arguments.write, "quality") if arguments.write else None
    reads = config.input.tracks
    with session_for(config.spark, app_name="musicrec evaluate", reads=reads) as session:
        from musicrec.evaluation.evaluate import evaluate
        from musicrec.evaluation.table import as_text

        result = evaluate(session, config)
        console.show_result(as_text(result))
        if section:
            section.write(as_text(result))
        if arguments.output:
            write_text(arguments.output, plain.as_json(plain.without_nan(result)))


def _similar(arguments: argparse.Namespace) -> None:
    from musicrec.query import print_similar

    print_similar(arguments.track_id, arguments.root, k=arguments.k)


def _doctor(arguments: argparse.Namespace) -> int:
    from musicrec.doctor import examine, print_findings

    findings = examine(arguments.root)
    print_findings(findings)
    return exits.USAGE if any(finding.fix for finding in findings) else 0


def _config(arguments: argparse.Namespace) -> None:
    from musicrec.config import describe_config, load_config, resolved_toml

    files = [arguments.config] if arguments.config else []
    # A file that is given is checked, whatever is printed.
    config = load_config(files=files, overrides=arguments.overrides)
    console.show_result(resolved_toml(config) if arguments.resolved else describe_config())


def _operate(arguments: argparse.Namespace) -> int:
    from musicrec.operations.commands import run_operation

    return run_operation(arguments)


COMMANDS = {
    "refresh": _refresh,
    "neighbors": _neighbors,
    "evaluate": _evaluate,
    "similar": _similar,
    "doctor": _doctor,
    "config": _config,
    **dict.fromkeys(OPERATIONS, _operate),
}

if __name__ == "__main__":
    run_command()
