"""`segue server`: the registrar and proxy of a small office, and its users."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segue.base.errors import LocalError
from segue.cli.option_file import fitting, read_option_file

if TYPE_CHECKING:
    from segue.server.config import ServerConfig
    from segue.server.store import Store

DATABASE = "~/.local/state/segue/server.db"
_KINDS = dict.fromkeys(("domain", "name", "cert", "key", "db", "users"), str) | {
    "listen": list,
    "allow_strangers": bool,
    "allow_clear_leg": bool,
    "policy": dict,
}
LISTEN = ("tls:0.0.0.0:5061", "tls:[::]:5061")


@click.group(invoke_without_command=True)
@click.option("--config", "config_file", metavar="FILE", help="TOML file with these options (names as here).")
@click.option("--domain", metavar="NAME", help="The domain of your users' addresses, example.org.")
@click.option("--name", metavar="HOST", help="Host name of this server. [the domain]")
@click.option(
    "--listen",
    multiple=True,
    metavar="TRANSPORT:ADDRESS[:PORT]",
    help="tls:[::]:5061, udp:192.0.2.1:5060 …; repeatable. [TLS only, port 5061]",
)
@click.option("--cert", metavar="FILE", help="Certificate chain for the domain (PEM).")
@click.option("--key", metavar="FILE", help="Its key (mode 600).")
@click.option("--db", metavar="FILE", help=f"Database of users and registrations. [{DATABASE}]")
@click.option(
    "--users", metavar="FILE", help="File (mode 600) with lines name:password, taken in at the start."
)
@click.option("--allow-strangers/--no-strangers", default=None, help="Let people without account call. [no]")
@click.option(
    "--allow-clear-leg/--no-clear-leg",
    default=None,
    help="Let calls that come over TLS go out over UDP or TCP: their keys can be read there. [no]",
)
@click.pass_context
def server(context: click.Context, /, **given: Any) -> None:
    """Run a SIP registrar and proxy for one domain."""
    context.obj = given
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from segue.server.server import run_server

    config = configuration(given)
    _import_users(config, _options(given).get("users"))
    asyncio.run(run_server(config, on_ready=_say))


@server.group()
def user() -> None:
    """Add, remove and list users."""


@user.command("add")
@click.argument("name")
@click.option("--domain", metavar="NAME", help="As for the server.")
@click.option("--db", metavar="FILE", help="As for the server.")
@click.option("--password-file", metavar="FILE", help="File (mode 600) with the password. [ask]")
@click.pass_context
def add(context: click.Context, /, name: str, password_file: str | None, **given: Any) -> None:
    """Add a user, or give one a new password. A running server knows it two seconds later."""
    with _store(context, given) as (store, domain):
        _check_name(name)
        if password_file is None:
            password = click.prompt(
                f"Password for sip:{name}@{domain}", hide_input=True, confirmation_prompt=True
            )
        else:
            password = _private_text(password_file, "password").strip("\r\n")
        store.put_users(domain, {name: _hashes(domain, name, password)})
    click.echo(f"sip:{name}@{domain} may register")


@user.command("remove")
@click.argument("name")
@click.option("--domain", metavar="NAME", help="As for the server.")
@click.option("--db", metavar="FILE", help="As for the server.")
@click.pass_context
def remove(context: click.Context, /, name: str, **given: Any) -> None:
    """Remove a user."""
    with _store(context, given) as (store, domain):
        if not store.remove_user(domain, name):
            raise LocalError(f"there is no user {name!r}", "segue server user list")


@user.command("list")
@click.option("--domain", metavar="NAME", help="As for the server.")
@click.option("--db", metavar="FILE", help="As for the server.")
@click.pass_context
def list_users(context: click.Context, /, **given: Any) -> None:
    """Names, one a line."""
    with _store(context, given) as (store, domain):
        for name in sorted(store.users(domain)):
            click.echo(name)


def _say(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


def configuration(given: dict[str, Any]) -> ServerConfig:
    """Flags over file over defaults. Raises LocalError."""
    from segue.server.config import Listen, Policy, ServerConfig

    options = _options(given)
    if not options.get("domain"):
        raise LocalError("which domain?", "give --domain example.org")
    policy = dict(options.get("policy") or {})
    known = {field.name for field in fields(Policy)}
    for name in policy.keys() - known:
        raise LocalError(f"policy has no {name!r}", f"it has {', '.join(sorted(known))}")
    for name, default in ((field.name, field.default) for field in fields(Policy) if field.name in policy):
        kind = list if isinstance(default, tuple) else type(default)
        policy[name] = fitting(options.get("config_file", "policy"), name, kind, policy[name])
    if "digest" in policy:
        policy["digest"] = tuple(policy["digest"])
    if options.get("allow_strangers") is not None:
        policy["strangers"] = options["allow_strangers"]
    if options.get("allow_clear_leg") is not None:
        policy["allow_clear_leg"] = options["allow_clear_leg"]
    return ServerConfig(
        domain=str(options["domain"]).lower(),
        listens=tuple(Listen.parse(text) for text in options.get("listen") or LISTEN),
        database=_database(options),
        name=str(options.get("name") or ""),
        certificate=str(options.get("cert") or ""),
        key=str(options.get("key") or ""),
        policy=Policy(**policy),
    )


def _options(given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    path = given.get("config_file")
    if path:
        options = read_option_file(path, _KINDS, "see docs/server.md")
    return options | {name: value for name, value in given.items() if value is not None and value != ()}


def _database(options: dict[str, Any]) -> str:
    return str(Path(options.get("db") or DATABASE).expanduser())


@contextmanager
def _store(context: click.Context, given: dict[str, Any]) -> Iterator[tuple[Store, str]]:
    from segue.server.store import Store

    options = _options({**(context.find_root().obj or {}), **_parent(context), **_given(given)})
    if not options.get("domain"):
        raise LocalError("which domain?", "give --domain example.org")
    store = Store(_database(options))
    try:
        yield store, str(options["domain"]).lower()
    finally:
        store.close()


def _parent(context: click.Context) -> dict[str, Any]:
    """What was given to `segue server` itself, left of `user`."""
    while context.parent is not None:
        context = context.parent
        if isinstance(context.obj, dict):
            return context.obj
    return {}


def _given(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _import_users(config: ServerConfig, path: str | None) -> None:
    if not path:
        return
    from segue.server.store import Store

    users = {}
    for line in _private_text(path, "users").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not colon:
            raise LocalError(f"a line of {path} is not name:password", "see docs/server.md")
        users[name] = _hashes(config.domain, name, password)
    store = Store(config.database)
    try:
        store.put_users(config.domain, users)
    finally:
        store.close()


def _hashes(domain: str, name: str, password: str) -> dict[str, str]:
    from segue.server.authentication import hashes_of

    _check_name(name)
    if not password:
        raise LocalError(f"the password of {name} is empty", "choose one")
    return hashes_of(name, domain, password)


def _check_name(name: str) -> None:
    plain = name.replace("-", "").replace("_", "").replace(".", "").replace("+", "")
    if not plain.isascii() or not plain.isalnum():
        raise LocalError(f"{name!r} is no user name", "use letters, digits and . _ - +")


def _private_text(path: str, what: str) -> str:
    try:
        if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
            raise LocalError(f"the {what} file {path} can be read by others", f"chmod 600 {path}")
        return Path(path).read_text()
    except OSError as error:
        raise LocalError(f"cannot read the {what} file {path} ({error.strerror})", "give another") from None
    except UnicodeDecodeError:
        raise LocalError(f"the {what} file {path} is no text in UTF-8", "write it anew") from None


command = server  # what `cli.main` looks for
