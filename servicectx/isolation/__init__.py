"""Namespaces of a running service, one for each test.

- `interface`: `Isolation`, which a service returns from `isolation(details, data)`: open, close and keep a namespace,
  freeze the state that namespaces are copies of. `Clones` is its part for services that copy namespaces by name.
- `namespace`: one user's namespace. Without a pool it is `Direct`: `Isolation.open` and `close`. With a pool it is
  `Pooled`: a ready one, a recycled one, or a new one under a lock of the pool.
- `pool`: the files and locks of the pool. `owner_names`: the names of namespaces without such a lock.
- `prefetcher`: a process of the keeper that makes namespaces ahead of demand, by a `PrefetchBackend` of the service.
  `pool_sizer` computes their number, `user_watcher` detects the deaths of users.
- `setup_step`: one set-up of a namespace. `namespace_methods`: services with the methods that came before `isolation`.
"""
