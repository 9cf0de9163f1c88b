"""`python -m geotrans.train`."""

from geotrans.train.run import main

if __name__ == "__main__":
    main()
