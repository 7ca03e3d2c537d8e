"""The figures of Gromov 2023, one file each."""
