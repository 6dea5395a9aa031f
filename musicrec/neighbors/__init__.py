"""DataFrame in, DataFrame out: no path, no session, no write; a stage never imports another stage."""
