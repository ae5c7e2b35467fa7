import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices are tiny here: two threads spend most of their time waiting for each other."""
    with threadpool_limits(1):
        yield
