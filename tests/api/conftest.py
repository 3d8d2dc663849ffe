from tests.web.conftest import admin, signed_in, viewer

__all__ = ["admin", "signed_in", "viewer"]
