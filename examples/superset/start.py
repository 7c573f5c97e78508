"""Start Apache Superset on this machine with the dashboard of the published snapshot: `make superset`.

The first start creates Superset's own database, an administrator and keys in data/superset, and imports the files in `assets`.
Later starts import again only if these files or the address of the data have changed, so changes made in the browser stay.
"""

import hashlib
import logging
import os
import re
import secrets
import socket
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent
DATA = Path(os.environ["ZL_DATA_DIR"]).resolve()
HOME = DATA / "superset"
SNAPSHOT = DATA / "serving" / "serving.duckdb"
PORT = os.environ.get("PORT") or "8088"
# read only; no access to other files, which SQL could otherwise read
DUCKDB = f"duckdb:///{SNAPSHOT}?access_mode=read_only&enable_external_access=false"


def main() -> None:
    """Prepare Superset and replace this process by its web server."""
    uri = os.environ.get("DATABASE") or DUCKDB
    if uri == DUCKDB and not SNAPSHOT.exists():
        sys.exit(f"There is no snapshot yet: {SNAPSHOT} is missing. Run `make build` first.")
    if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
        sys.exit(f"PORT={PORT} is no port. Choose a number from 1 to 65535: make superset PORT=8089")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(PORT))) == 0:
            sys.exit(f"Port {PORT} is in use, perhaps by another Superset. Choose one: make superset PORT=8089")
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep_secret("secret_key", 42)
    password = keep_secret("password", 9)
    os.environ |= {
        "SUPERSET_HOME": str(HOME),
        "SUPERSET_CONFIG_PATH": str(FOLDER / "superset_config.py"),
        "PORT": PORT,
        "ZL_SUPERSET_WELCOME": f"Superset is ready: http://127.0.0.1:{PORT}/superset/dashboard/zl/\n"
        f"User admin, password {password} (kept in {HOME / 'password'}). Ctrl-C stops it.",
    }
    prepare(read_assets(uri), password)
    print("Starting Superset (10 seconds) ...", flush=True)
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(FOLDER / "gunicorn.conf.py"), "superset.app:create_app()"]
    os.execv(sys.executable, gunicorn)


def keep_secret(name: str, n_bytes: int) -> str:
    """Return the secret in a file of HOME that only its owner can read; the first call makes it up."""
    path = HOME / name
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(n_bytes))
    return path.read_text()


def read_assets(uri: str) -> dict[str, str]:
    """Return the content by path of all files of the dashboard, with the address of the data filled in."""
    assets = FOLDER / "assets"
    contents = {str(path.relative_to(assets)): path.read_text() for path in sorted(assets.rglob("*.yaml"))}
    database = "databases/zl_forecast.yaml"
    contents[database] = re.sub(r"(?m)^sqlalchemy_uri: .*", lambda _: f"sqlalchemy_uri: {uri}", contents[database])
    return contents


def prepare(contents: dict[str, str], password: str) -> None:
    """Bring Superset's database up to date and import the dashboard, unless both were done for the same files."""
    requirements = (FOLDER / "requirements.txt").read_text()
    state = hashlib.sha256(repr((sorted(contents.items()), requirements)).encode()).hexdigest()
    done = HOME / "imported"
    if not done.exists():  # a first start that was interrupted
        (HOME / "superset.db").unlink(missing_ok=True)
    elif done.read_text() == state:
        return
    print("Preparing Superset (the first time about one minute) ...", flush=True)
    logging.disable(logging.WARNING)

    from flask_migrate import upgrade  # these read the configuration when they are imported
    from superset.app import create_app

    with redirect_stdout(StringIO()):
        app = create_app()
    with app.app_context():
        from superset import appbuilder, security_manager
        from superset.utils.core import override_user

        print("* its own database", flush=True)
        with redirect_stdout(StringIO()):
            upgrade()
        print("* roles and the user admin", flush=True)
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = security_manager.find_user("admin") or security_manager.add_user(
            "admin", "zl", "forecast", "admin@localhost", security_manager.find_role("Admin"), password
        )
        print("* the dashboard", flush=True)
        done.write_text("without the dashboard")
        with override_user(admin):
            import_dashboard(contents)
    done.write_text(state)


def import_dashboard(contents: dict[str, str]) -> None:
    """Import the files in place of earlier ones and read their tables, which adds the columns that the files do not list."""
    from superset import db
    from superset.commands.exceptions import CommandInvalidError
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.connectors.sqla.models import SqlaTable

    uuids = [yaml.safe_load(content)["uuid"] for path, content in contents.items() if path.startswith("datasets/")]
    try:
        ImportAssetsCommand(contents).run()
        for uuid in uuids:
            dataset = db.session.query(SqlaTable).filter_by(uuid=uuid).one()
            removed = dataset.fetch_metadata().removed
            if missing := set(removed) - {column.column_name for column in dataset.columns}:  # calculated columns stay
                sys.exit(f"Superset is not ready: {dataset} has no {', '.join(missing)}. Update it with `make build`.")
        db.session.commit()
    except CommandInvalidError as error:
        sys.exit(f"Superset is not ready, as the dashboard was not imported: {error.normalized_messages()}")
    except Exception as error:  # of Superset, SQLAlchemy or the driver
        sys.exit(f"Superset is not ready, as the dashboard could not read its tables: {error.__cause__ or error!r}")


if __name__ == "__main__":
    main()
