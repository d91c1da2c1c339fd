"""`dux bench table1`: the paper's table against what people would use instead."""
