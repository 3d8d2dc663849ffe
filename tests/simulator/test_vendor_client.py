"""The vendor's own client, as a reader of the simulator that owes us nothing."""

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ForbiddenException, NotFoundException
from datadog_api_client.v2.api.high_availability_multi_region_api import HighAvailabilityMultiRegionApi
from datadog_api_client.v2.model.hamr_org_connection_request import HamrOrgConnectionRequest

from hamr_portal.simulator import ACTIVE, FAILOVER

from .client import wanted

pytestmark = pytest.mark.filterwarnings("ignore:Using unstable operation")


@pytest.fixture
def api(simulator):
    """Make the vendor's API object for one organization, and close its connections afterwards."""
    clients = []

    def make(organization):
        configuration = Configuration(
            host=simulator.urls[organization.site],
            api_key={"apiKeyAuth": organization.api_key, "appKeyAuth": organization.application_key},
        )
        configuration.unstable_operations["get_hamr_org_connection"] = True
        configuration.unstable_operations["create_hamr_org_connection"] = True
        clients.append(ApiClient(configuration))
        return HighAvailabilityMultiRegionApi(clients[-1])

    yield make
    for client in clients:
        client.rest_client.pool_manager.clear()
        client.close()


def test_reads_the_documented_spelling(simulator, api, primary, secondary):
    simulator.write_aside("acme-us1", ACTIVE, "ann@example.com")

    data = api(primary).get_hamr_org_connection().data

    assert (data.id, data.attributes.hamr_status.value) == (primary.uuid, ACTIVE)
    assert (data.attributes.modified_by, data.attributes.is_primary) == ("ann@example.com", True)
    assert data.attributes.target_org_datacenter == "eu1"


def test_writes(simulator, api, primary, secondary):
    request = HamrOrgConnectionRequest(**wanted(primary, hamr_status=FAILOVER, modified_by="ann@example.com"))

    data = api(primary).create_hamr_org_connection(body=request).data

    assert data.attributes.hamr_status.value == FAILOVER
    assert (primary.view.modified_by, secondary.view.hamr_status) == ("ann@example.com", FAILOVER)


def test_raises_on_the_recorded_spelling(api, secondary):
    with pytest.raises(TypeError):
        api(secondary).get_hamr_org_connection()


def test_names_refusals_as_its_users_know_them(simulator, api, primary):
    with pytest.raises(NotFoundException):
        api(primary).get_hamr_org_connection()

    simulator.set_fault("acme-us1", "403")

    with pytest.raises(ForbiddenException):
        api(primary).get_hamr_org_connection()
