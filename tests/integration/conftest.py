"""LangChain's own classes for other people's stores, which write what the importers are to read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Client, needed, node_client, python_client


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.fixture(scope="session")
def langchain() -> Client:
    return needed(
        python_client,
        "langchain-community==0.4.2",
        "redis==8.1.0",
        "boto3==1.44.5",
        "upstash-redis==1.8.0",
    )


@pytest.fixture(scope="session")
def langchain_js() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("npm_config_legacy_peer_deps", "true")  # its optional peers contradict one another
        yield needed(
            node_client,
            "@langchain/community@0.3.57",
            "@langchain/core@0.3.80",
            "@langchain/redis@0.1.1",
            "ioredis@5",
            "@aws-sdk/client-dynamodb@3",
            "@aws-sdk/util-dynamodb@3",
            "@langchain/openai@0.6",
            "@upstash/redis@1",
            "redis@4",
            "uuid@10",
        )


@pytest.fixture(scope="session")
def langchain_redis() -> Client:
    """The newer package, whose documents are RedisJSON."""
    return needed(python_client, "langchain-redis==0.2.6")
