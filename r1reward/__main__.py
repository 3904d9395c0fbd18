"""``python -m r1reward``: the command ``r1reward``."""

from r1reward.cli.main import main

if __name__ == "__main__":
    main()
