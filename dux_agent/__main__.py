"""`python -m dux_agent`: the same as `dux`."""

from dux_agent.cli import main

if __name__ == "__main__":
    main()
