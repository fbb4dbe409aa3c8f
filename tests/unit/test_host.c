/* test_host.c - the probe agrees with what the system says, and never turns unknown into 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comm/topo/host.h"

static void counts_are_positive_or_unknown(void **state)
{
    epx_host host;

    (void)state;
    assert_int_equal(epx_host_probe(&host), EPX_OK);
    assert_true(host.num_numa == -1 || host.num_numa >= 1);
    assert_true(host.num_cores == -1 || host.num_cores >= 1);
    assert_true(host.num_pus >= 1);
    assert_in_range(host.num_nics, 0, EPX_HOST_MAX_NICS);
}

static void units_are_those_that_this_process_may_use(void **state)
{
    cpu_set_t before, one;
    epx_host host;
    size_t cpu;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(epx_host_probe(&host), EPX_OK);
    assert_int_equal(host.num_pus, CPU_COUNT(&before));

    for (cpu = 0; !CPU_ISSET(cpu, &before); cpu++)
        ;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(epx_host_probe(&host), EPX_OK);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(host.num_pus, 1);
}

static void network_devices_exist_and_have_facts_or_none(void **state)
{
    char net[128], infiniband[128];
    epx_host host;
    int32_t i;

    (void)state;
    assert_int_equal(epx_host_probe(&host), EPX_OK);
    for (i = 0; i < host.num_nics; i++) {
        const epx_host_nic *nic = &host.nics[i];

        snprintf(net, sizeof(net), "/sys/class/net/%s", nic->name);
        snprintf(infiniband, sizeof(infiniband), "/sys/class/infiniband/%s", nic->name);
        assert_true(access(net, F_OK) == 0 || access(infiniband, F_OK) == 0);
        assert_true(nic->mbps == -1 || nic->mbps > 0);
        assert_true(nic->up == -1 || nic->up == 0 || nic->up == 1);
        assert_true(nic->numa >= -1);
        assert_true(host.num_numa != 1 || nic->numa <= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_positive_or_unknown),
        cmocka_unit_test(units_are_those_that_this_process_may_use),
        cmocka_unit_test(network_devices_exist_and_have_facts_or_none),
    };

    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
