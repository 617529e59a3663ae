"""A payment provider of our own to run and test against, with a provider's real rules.

It speaks WeChat Pay's wire and Alipay's. ``python -m gateways.payments.sandbox --port 8090 --books
books.sqlite3 --keys keys`` serves it on 127.0.0.1. Its books live in that file and survive its
death, and so do its keys and the merchant's; the faults it was told to show live in memory and do
not.
"""
