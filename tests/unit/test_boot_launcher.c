/* test_boot_launcher.c - which launcher is recognised, and what it is understood to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "comm/boot/addr.h"
#include "comm/boot/hostlist.h"
#include "comm/boot/iface.h"
#include "comm/boot/launcher.h"

static const char *const variables[] = {"RANK",
                                        "WORLD_SIZE",
                                        "MASTER_ADDR",
                                        "MASTER_PORT",
                                        "TORCHELASTIC_RUN_ID",
                                        "EPX_PORT",
                                        "PMIX_NAMESPACE",
                                        "PMIX_RANK",
                                        "SLURM_PROCID",
                                        "SLURM_NTASKS",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_STEP_NODELIST",
                                        "SLURM_JOB_ID",
                                        "SLURM_JOBID",
                                        "SLURM_STEP_ID",
                                        "SLURM_STEPID",
                                        "OMPI_COMM_WORLD_RANK",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_LOCAL_SIZE",
                                        "OMPI_MCA_ess_base_jobid"};

static int clear(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    return 0;
}

static void set_all(const char *const *pairs)
{
    for (; *pairs != NULL; pairs += 2)
        setenv(pairs[0], pairs[1], 1);
}

static epx_status detect(bool with_pmix, epx_launch *launch)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg)};

    return epx_launch_detect(&cfg, with_pmix, launch);
}

static const char *const torchrun[] = {"RANK", "2",           "WORLD_SIZE", "4", "MASTER_ADDR",
                                       "node", "MASTER_PORT", "29400",      NULL};
static const char *const pmix[] = {"PMIX_NAMESPACE", "job", "PMIX_RANK", "3", NULL};
static const char *const slurm[] = {"SLURM_PROCID",
                                    "5",
                                    "SLURM_NTASKS",
                                    "8",
                                    "SLURM_JOB_ID",
                                    "1234",
                                    "SLURM_STEP_ID",
                                    "0",
                                    "SLURM_STEP_NODELIST",
                                    "gpu[03-04]",
                                    NULL};
static const char *const openmpi[] = {"OMPI_COMM_WORLD_RANK",
                                      "1",
                                      "OMPI_COMM_WORLD_SIZE",
                                      "2",
                                      "OMPI_COMM_WORLD_LOCAL_SIZE",
                                      "2",
                                      NULL};

static void nothing_set_is_a_world_of_one(void **state)
{
    epx_launch launch;

    (void)state;
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_string_equal(launch.name, "alone");
    assert_int_equal(launch.meet, EPX_MEET_ALONE);
    assert_int_equal(launch.rank, 0);
    assert_int_equal(launch.size, 1);
}

static void torchrun_means_the_ports_above_its_own(void **state)
{
    epx_launch launch;

    (void)state;
    set_all(torchrun);
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_string_equal(launch.name, "torchrun");
    assert_int_equal(launch.meet, EPX_MEET_ADDRESS);
    assert_int_equal(launch.rank, 2);
    assert_int_equal(launch.size, 4);
    assert_string_equal(launch.host, "node");
    assert_int_equal(launch.port, 29401);
    assert_int_equal(launch.num_ports, 16);
    setenv("EPX_PORT", "7000", 1);
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_int_equal(launch.port, 7000);
    assert_int_equal(launch.num_ports, 1);
}

static void the_first_of_several_launchers_wins(void **state)
{
    epx_launch launch;

    (void)state;
    set_all(openmpi);
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_string_equal(launch.name, "openmpi");
    set_all(slurm);
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_string_equal(launch.name, "slurm");
    set_all(pmix);
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_string_equal(launch.name, "pmix");
    assert_int_equal(launch.rank, 3);
    assert_int_equal(detect(false, &launch), EPX_OK);
    assert_string_equal(launch.name, "slurm");
    set_all(torchrun);
    assert_int_equal(detect(true, &launch), EPX_OK);
    assert_string_equal(launch.name, "torchrun");
}

static void slurm_derives_host_and_port_from_the_step(void **state)
{
    epx_launch launch, other;

    (void)state;
    set_all(slurm);
    assert_int_equal(detect(false, &launch), EPX_OK);
    assert_string_equal(launch.host, "gpu03");
    assert_int_equal(launch.rank, 5);
    assert_int_equal(launch.size, 8);
    assert_in_range(launch.port, 20000, 31999);
    setenv("SLURM_STEP_ID", "1", 1);
    assert_int_equal(detect(false, &other), EPX_OK);
    assert_int_not_equal(launch.port, other.port);
    assert_string_not_equal(launch.identity, other.identity);
    setenv("SLURM_STEP_NUM_TASKS", "6", 1); /* the step counts, not the allocation */
    assert_int_equal(detect(false, &other), EPX_OK);
    assert_int_equal(other.size, 6);
}

static void a_batch_script_under_slurm_is_alone(void **state)
{
    epx_launch launch;

    (void)state;
    setenv("SLURM_PROCID", "0", 1);
    setenv("SLURM_NTASKS", "8", 1);
    assert_int_equal(detect(false, &launch), EPX_OK);
    assert_string_equal(launch.name, "alone");
}

static void open_mpi_on_several_hosts_needs_pmix(void **state)
{
    epx_launch launch;

    (void)state;
    set_all(openmpi);
    assert_int_equal(detect(false, &launch), EPX_OK);
    assert_string_equal(launch.host, "localhost");
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "1", 1);
    assert_int_equal(detect(false, &launch), EPX_ERR_UNSUPPORTED);
    assert_non_null(strstr(epx_last_error(), "libpmix2"));
}

static void nonsense_in_a_variable_is_named(void **state)
{
    static const char *const wrong[][2] = {
        {"RANK", "4"},           {"RANK", "-1"},        {"RANK", "x"},
        {"RANK", "1x"},          {"WORLD_SIZE", "0"},   {"WORLD_SIZE", "1e3"},
        {"WORLD_SIZE", "70000"}, {"MASTER_PORT", "0"},  {"MASTER_PORT", "70000"},
        {"EPX_PORT", "x"},       {"EPX_PORT", "65536"},
    };
    epx_launch launch;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        clear(NULL);
        set_all(torchrun);
        setenv(wrong[i][0], wrong[i][1], 1);
        assert_int_equal(detect(false, &launch), EPX_ERR_INVALID);
        assert_non_null(strstr(epx_last_error(), wrong[i][0]));
        assert_non_null(strstr(epx_last_error(), wrong[i][1]));
    }
}

static void rank_and_size_without_an_address_are_no_world_of_one(void **state)
{
    epx_launch launch;

    (void)state;
    setenv("RANK", "1", 1);
    setenv("WORLD_SIZE", "4", 1);
    assert_int_equal(detect(false, &launch), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "MASTER_ADDR"));
    setenv("WORLD_SIZE", "1", 1);
    assert_int_equal(detect(false, &launch), EPX_OK);
}

static int no_gather(void *arg, const void *mine, size_t bytes, void *all)
{
    (void)arg;
    (void)mine;
    (void)bytes;
    (void)all;
    return 1;
}

static void what_the_caller_says_wins(void **state)
{
    epx_comm_config cfg = {
        .struct_size = sizeof(cfg), .rank = 1, .world_size = 3, .address = "10.1.2.3:4567"};
    epx_launch launch;

    (void)state;
    set_all(torchrun);
    assert_int_equal(epx_launch_detect(&cfg, false, &launch), EPX_OK);
    assert_string_equal(launch.name, "address");
    assert_string_equal(launch.host, "10.1.2.3");
    assert_int_equal(launch.port, 4567);
    assert_int_equal(launch.num_ports, 1);
    cfg.world_size = 0; /* rank and size by the environment, the address by the caller */
    cfg.rank = 0;
    assert_int_equal(epx_launch_detect(&cfg, false, &launch), EPX_OK);
    assert_string_equal(launch.name, "torchrun");
    assert_string_equal(launch.host, "10.1.2.3");
    assert_int_equal(launch.rank, 2);
}

static void contradictions_of_the_caller_are_refused(void **state)
{
    epx_comm_config wrong[] = {
        {.rank = 0, .world_size = 2},
        {.rank = 2, .world_size = 2, .allgather = no_gather},
        {.rank = -1, .world_size = 2, .allgather = no_gather},
        {.rank = 0, .world_size = -2},
        {.rank = 0, .world_size = EPX_MAX_RANKS + 1, .allgather = no_gather},
        {.rank = 0, .world_size = 0, .allgather = no_gather},
        {.rank = 1, .world_size = 0},
        {.rank = 0, .world_size = 2, .allgather = no_gather, .address = "a:1"},
        {.rank = 0, .world_size = 0, .address = "a:1"},
        {.rank = 0, .world_size = 2, .address = "nowhere"},
        {.rank = 0, .world_size = 2, .address = "host:0"},
        {.rank = 0, .world_size = 2, .address = "host:65536"},
        {.rank = 0, .world_size = 2, .address = "::1:29500"},
        {.rank = 0, .world_size = 2, .address = ":29500"},
    };
    epx_launch launch;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        wrong[i].struct_size = sizeof(wrong[i]);
        assert_int_equal(epx_launch_detect(&wrong[i], false, &launch), EPX_ERR_INVALID);
    }
}

static void a_destroyed_or_foreign_job_is_refused(void **state)
{
    static const uint64_t foreign[64] = {1, 2, 3};
    epx_comm_config cfg = {.struct_size = sizeof(cfg), .job = (const epx_job *)foreign};
    epx_launch launch;
    epx_job *job;

    (void)state;
    assert_int_equal(epx_launch_detect(&cfg, false, &launch), EPX_ERR_INVALID);
    assert_int_equal(epx_job_create(0, NULL, &job), EPX_ERR_INVALID);
    assert_int_equal(epx_job_create(3, "no-such-interface", &job), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "no-such-interface"));
    assert_int_equal(epx_job_create(3, NULL, &job), EPX_OK);
    cfg.job = job;
    cfg.rank = 2;
    assert_int_equal(epx_launch_detect(&cfg, false, &launch), EPX_OK);
    assert_int_equal(launch.size, 3);
    cfg.world_size = 4;
    assert_int_equal(epx_launch_detect(&cfg, false, &launch), EPX_ERR_INVALID);
    epx_job_destroy(job);
    epx_job_destroy(NULL);
}

static void addresses_split_at_the_right_colon(void **state)
{
    char host[64];
    uint16_t port;

    (void)state;
    assert_int_equal(epx_addr_split("node-1.x:80", host, sizeof(host), &port), EPX_OK);
    assert_string_equal(host, "node-1.x");
    assert_int_equal(port, 80);
    assert_int_equal(epx_addr_split("[fe80::1%eth0]:65535", host, sizeof(host), &port), EPX_OK);
    assert_string_equal(host, "fe80::1%eth0");
    assert_int_equal(port, 65535);
}

static void a_host_that_does_not_exist_is_named_with_its_port(void **state)
{
    epx_addr addr;
    int count;

    (void)state;
    assert_int_equal(epx_addr_resolve("no-such-host.invalid", 29501, &addr, 1, &count),
                     EPX_ERR_SYSTEM);
    assert_non_null(strstr(epx_last_error(), "no-such-host.invalid"));
    assert_non_null(strstr(epx_last_error(), "29501"));
}

static void loopback_is_found_by_name_and_by_address(void **state)
{
    char name[64], number[EPX_ADDR_TEXT];
    epx_addr addr;

    (void)state;
    assert_int_equal(epx_iface_address("lo", AF_INET, &addr), EPX_OK);
    epx_addr_number(&addr, number, sizeof(number));
    assert_string_equal(number, "127.0.0.1");
    epx_iface_name(&addr, name, sizeof(name));
    assert_string_equal(name, "lo");
    assert_int_equal(epx_addr_parse("192.0.2.77", &addr), EPX_OK);
    epx_iface_name(&addr, name, sizeof(name));
    assert_string_equal(name, "");
    assert_int_equal(epx_iface_outward(&addr), EPX_OK);
}

static void slurm_lists_give_their_first_host(void **state)
{
    static const char *const good[][2] = {
        {"node1", "node1"},
        {"node1,node2", "node1"},
        {"node[01-03,7]", "node01"},
        {"gpu-[3,5-9]-ib,login", "gpu-3-ib"},
        {"rack[1-2]n[3-4]", "rack1n3"},
        {"a.b_c-d", "a.b_c-d"},
        {"[5-6]", "5"},
    };
    static const char *const bad[] = {"",       ",node", "node[", "node[]", "node[1",  "n[a-b]",
                                      "node]1", "no de", "n[1-2", "n[[1]]", "node;rm", "n[1-2]]"};
    char host[64];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(epx_hostlist_first(good[i][0], host, sizeof(host)), EPX_OK);
        assert_string_equal(host, good[i][1]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(epx_hostlist_first(bad[i], host, sizeof(host)), EPX_ERR_INVALID);
    assert_int_equal(epx_hostlist_first("node1234", host, 8), EPX_ERR_INVALID); /* does not fit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_set_is_a_world_of_one, clear),
        cmocka_unit_test_setup(torchrun_means_the_ports_above_its_own, clear),
        cmocka_unit_test_setup(the_first_of_several_launchers_wins, clear),
        cmocka_unit_test_setup(slurm_derives_host_and_port_from_the_step, clear),
        cmocka_unit_test_setup(a_batch_script_under_slurm_is_alone, clear),
        cmocka_unit_test_setup(open_mpi_on_several_hosts_needs_pmix, clear),
        cmocka_unit_test_setup(nonsense_in_a_variable_is_named, clear),
        cmocka_unit_test_setup(rank_and_size_without_an_address_are_no_world_of_one, clear),
        cmocka_unit_test_setup(what_the_caller_says_wins, clear),
        cmocka_unit_test_setup(contradictions_of_the_caller_are_refused, clear),
        cmocka_unit_test_setup(a_destroyed_or_foreign_job_is_refused, clear),
        cmocka_unit_test(addresses_split_at_the_right_colon),
        cmocka_unit_test(a_host_that_does_not_exist_is_named_with_its_port),
        cmocka_unit_test(loopback_is_found_by_name_and_by_address),
        cmocka_unit_test(slurm_lists_give_their_first_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
