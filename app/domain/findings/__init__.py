"""
What is wrong with rows: found with its row number, counted over all rows, with a proposed repair.

`mixes` holds a form's pairs against each other and against files, in the web process. `files` and
`repairs` read whole files, in the child process that `stored` starts.
"""
