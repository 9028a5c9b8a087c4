"""
Webhooks: addresses that are told what becomes of runs, and what was sent to them.

The outbox is written in the transaction of what it tells of; workers send it. `outbox` writes, `deliveries`
claims and retries, `courier` sends; `addresses` says where nothing may ever be sent.
"""
