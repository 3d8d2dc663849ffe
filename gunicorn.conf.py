"""How does gunicorn serve the portal? Read by itself when it is started in this folder; its options go before these."""

preload_app = True
worker_class = "gthread"
threads = 8
# Longer than the longest a change may take: a deploy waits for one that is on its way.
graceful_timeout = 30

# A request that is longer than any of a browser's here is refused before anything else reads it.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# One event a line, whatever a path or a browser's name holds. The query stays out: people search for things.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s B %(M)s ms %({x-request-id}o)s "%(a)s"'
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "hamr_portal.log_lines.Lines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
