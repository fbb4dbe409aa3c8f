/* test_link_ucx.c - the link suite over UCX between processes that share nothing else. */
#include "link/link_suite.h"

#include "comm/link/ucx.h"
#include "link/link_processes.h"

static epx_status open_ucx(link_seat *seat)
{
    bool near_ranks[LINK_MAX_RANKS] = {false};

    near_ranks[seat->rank] = true;
    return epx_ucx_open(seat->boot, near_ranks, true, LINK_BOOT_MS, &seat->link);
}

static const link_fixture fixture = {.name = "ucx",
                                     .max_ranks = LINK_MAX_RANKS,
                                     .processes = true,
                                     .loopback = true,
                                     .faults = true,
                                     .lost_ms = 3000,
                                     .run = link_processes_run,
                                     .sleep = link_process_sleep,
                                     .now = link_process_now,
                                     .open = open_ucx};

static bool names_itself(link_seat *seat)
{
    LINK_CHECK(seat, strcmp(seat->link->ops->name, "ucx") == 0);
    LINK_CHECK(seat, seat->link->rank == seat->rank && !seat->link->ops->mapped);
    return true;
}

static void the_link_is_named_ucx(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, names_itself, -1));
}

/* 77 where UCX is missing; any other trouble is the suite's to find. */
static int probe(int rank, void *arg)
{
    const epx_comm_config cfg = {
        .struct_size = sizeof(cfg), .world_size = 1, .job = arg, .timeout_ms = LINK_BOOT_MS};
    const bool near_ranks[1] = {true};
    epx_link *link;
    epx_boot *boot;

    (void)rank;
    RANK_OK(epx_boot_open(&cfg, &boot));
    if (epx_ucx_open(boot, near_ranks, true, LINK_BOOT_MS, &link) == EPX_ERR_UNSUPPORTED) {
        fprintf(stderr, "skipped: %s\n", epx_last_error());
        return 77;
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest more[] = {cmocka_unit_test(the_link_is_named_ucx)};
    epx_job *job;
    ranks r;

    if (epx_job_create(1, NULL, &job) != EPX_OK)
        return 1;
    ranks_start(&r, 1, 20, probe, job);
    epx_job_destroy(job);
    ranks_wait(&r);
    if (r.code[0] == 77)
        return 77;
    return link_suite(&fixture, more, sizeof(more) / sizeof(more[0]));
}
