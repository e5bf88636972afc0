"""Everything that runs a model, each job in a worker process of its own.

`job` says what a worker is asked, `supervise` starts and ends workers, `worker` is the process. Only modules
of this package and of `twins` import torch, transformers or vllm, and only inside a worker.
"""
