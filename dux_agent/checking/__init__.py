"""What `dux check` finds out, as plain data: is an optimizer in a file acceptable?"""
