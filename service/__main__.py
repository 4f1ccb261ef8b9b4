"""`python -m service`: the API, in as many processes as the settings say."""

from __future__ import annotations

import sys

from pydantic import ValidationError

from service import exposure, processes
from service.settings import ServiceSettings
from store.observe import configure_logging


def main() -> int:
    """Serve; 2 when the settings are missing or wrong, or it must not be reached by others."""
    try:
        settings = ServiceSettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "LURE_" + "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        return 2
    configure_logging(settings, "api")
    if found := exposure.faults(settings):
        sys.stderr.write("".join(f"not started: {words}\n" for words in found))
        return 2
    if settings.processes > 1:
        return processes.run(settings)
    # here, because who only watches over processes has no use for all of torch
    from service.replica import serve  # noqa: PLC0415

    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
