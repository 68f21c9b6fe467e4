"""The command line. `main` is the entry point; each command is a module of its own with a click command called
`command`, imported when it is used. Exit status: 0 done, 1 no success, 2 something is to be put right."""
