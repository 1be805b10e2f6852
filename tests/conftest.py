import pytest
import torch
from hypothesis import settings

# The first call of a torch function is slow, and so is a busy machine.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

# For tensors as small as those of the tests, a second thread only waits.
torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
