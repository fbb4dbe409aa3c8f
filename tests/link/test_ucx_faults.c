/* test_ucx_faults.c - death, farewell, notices and failing of ranks whose only bond is UCX. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "link/ucx_job.h"

enum { DIED_AT = 0, KILLED = 1, STDERR_FD = 2, HEARD_MS = 3 };

/* In the test: a place for what its ranks say on stderr. */
static void make_listener(ucx_job *job)
{
    atomic_store(&job->words[STDERR_FD], memfd_create("stderr", MFD_CLOEXEC));
}

/* In a rank: from now on stderr goes there. */
static void redirect_stderr(ucx_job *job)
{
    RANK_CHECK(dup2((int)atomic_load(&job->words[STDERR_FD]), STDERR_FILENO) == STDERR_FILENO);
}

/* In the test: true if nobody has said anything. */
static bool was_quiet(ucx_job *job)
{
    int fd = (int)atomic_load(&job->words[STDERR_FD]);
    char text[2048] = "";
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    if (got > 0)
        print_message("said on stderr: %s\n", text);
    close(fd);
    return got == 0;
}

/* Rank 0 dies while the others sleep. */
static int outlive(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, job->size, 3, 4096, 4);
    epx_notice notice = {0};
    int64_t ms;

    redirect_stderr(job);
    ucx_run_for(link, 50);
    ucx_barrier(&boot.base);
    if (rank == 0) {
        ucx_run_for(link, 200);
        atomic_store(&job->words[DIED_AT], (int64_t)epx_clock_ns());
        raise(SIGKILL);
    }
    RANK_CHECK(ucx_hear(link, &notice, 5000));
    ms = ((int64_t)epx_clock_ns() - atomic_load(&job->words[DIED_AT])) / 1000000;
    atomic_store(&job->words[HEARD_MS + rank], ms);
    RANK_CHECK(notice.kind == EPX_NOTICE_LOST && notice.rank == 0 && notice.from == rank);
    RANK_CHECK(notice.status == EPX_ERR_PEER_LOST && strstr(notice.text, "rank 0") != NULL);
    RANK_CHECK(link->ops->reserve(port, 0) != NULL);
    RANK_CHECK(link->ops->put(port, 0, 8) == EPX_ERR_PEER_LOST);
    RANK_CHECK(strstr(epx_last_error(), "rank 0") != NULL);
    (link->ops->fail)(link, 0);
    RANK_CHECK(!ucx_hear(link, &notice, 100)); /* once is enough */
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_killed_rank_is_lost_within_3_s_to_ranks_asleep(void **state)
{
    ucx_job *job = ucx_job_make(3);
    int64_t ms;
    ranks r;
    int i;

    (void)state;
    make_listener(job);
    ranks_start(&r, 3, 15, outlive, job);
    ranks_wait(&r);
    assert_true(was_quiet(job));
    assert_int_equal(r.code[0], 128 + SIGKILL);
    for (i = 1; i < 3; i++) {
        assert_int_equal(r.code[i], 0);
        ms = atomic_load(&job->words[HEARD_MS + i]);
        print_message("rank %d heard of it after %d ms\n", i, (int)ms);
        assert_true(ms < 3000);
    }
}

/* Rank 1 has asked for an endpoint to rank 0, which has none of its own to rank 1. */
static int leave_one_sided(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_notice notice;
    char text[64];

    if (rank == 1)
        RANK_OK(epx_ucx_describe(link, 0, text, sizeof(text)));
    ucx_run_for(link, 50);
    ucx_barrier(&boot.base);
    if (atomic_load(&job->words[KILLED]) == 1 && rank == 0)
        raise(SIGKILL);
    if (atomic_load(&job->words[KILLED]) == 1)
        RANK_CHECK(ucx_hear(link, &notice, 3000) && notice.rank == 0);
    else if (rank == 1)
        RANK_CHECK(!ucx_hear(link, &notice, 300));
    ucx_close(link);
    return 0;
}

static void an_end_is_noticed_by_who_has_the_only_endpoint(void **state)
{
    ucx_job *job = ucx_job_make(2);
    ranks r;

    (void)state;
    assert_int_equal(ranks_run(2, 10, leave_one_sided, job), 0);
    job = ucx_job_make(2);
    atomic_store(&job->words[KILLED], 1);
    ranks_start(&r, 2, 10, leave_one_sided, job);
    ranks_wait(&r);
    assert_int_equal(r.code[0], 128 + SIGKILL);
    assert_int_equal(r.code[1], 0);
}

/* Ranks leave one after the other, with traffic until then. */
static int leave_in_turn(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, job->size, 3, 64 * 1024, 4);
    epx_notice notice;
    size_t bytes;
    int i;

    redirect_stderr(job);
    ucx_barrier(&boot.base);
    for (i = 0; i < job->size - 1; i++) {
        (void)ucx_reserve(port, i);
        RANK_OK(link->ops->put(port, i, 64 * 1024));
    }
    for (i = 0; i < job->size - 1; i++) {
        (void)ucx_peek(port, i, &bytes);
        RANK_OK(link->ops->release(port, i));
    }
    while (!link->ops->drained(port))
        ucx_turn(link, 1);
    ucx_barrier(&boot.base);
    RANK_CHECK(!ucx_hear(link, &notice, 100 + 150 * (uint64_t)rank));
    if (rank == 2) { /* rank 0 left 300 ms ago */
        for (i = 0; i < 8 && link->ops->reserve(port, 0) != NULL; i++)
            if (link->ops->put(port, 0, 8) != EPX_OK)
                break;
        RANK_CHECK(strstr(epx_last_error(), "rank 0") != NULL);
    }
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void an_orderly_close_is_no_loss_and_makes_no_noise(void **state)
{
    ucx_job *job = ucx_job_make(3);

    (void)state;
    make_listener(job);
    assert_int_equal(ranks_run(3, 10, leave_in_turn, job), 0);
    assert_true(was_quiet(job));
}

static int gossip(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, job->size, 3, 64, 1);
    epx_notice notice = {.kind = EPX_NOTICE_WAITING, .from = 0, .rank = 2, .status = -40};
    epx_notice wild = {.kind = EPX_NOTICE_LOST, .from = 0, .rank = 3};
    int i;

    strcpy(notice.text, "dispatch 71: counts");
    ucx_barrier(&boot.base);
    if (rank == 0) {
        link->ops->tell(link, &wild); /* there is no rank 3: not even heard */
        wild.kind = 77;
        wild.rank = 1;
        link->ops->tell(link, &wild);
        for (i = 0; i < 3; i++)
            link->ops->tell(link, &notice);
        memset(notice.text, 'x', sizeof(notice.text)); /* told by value */
        RANK_CHECK(!ucx_hear(link, &notice, 100));
    } else {
        for (i = 0; i < 3; i++) {
            RANK_CHECK(ucx_hear(link, &wild, 3000));
            RANK_CHECK(memcmp(&wild, &notice, sizeof(notice)) == 0);
        }
        RANK_CHECK(!ucx_hear(link, &wild, 50));
    }
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void notices_reach_all_others(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(3, 10, gossip, ucx_job_make(3)), 0);
}

static int shun(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, job->size, 3, 4096, 4);
    epx_notice notice = {.kind = EPX_NOTICE_WAITING, .from = 1, .rank = -1};
    size_t bytes;

    ucx_barrier(&boot.base);
    (void)ucx_reserve(port, 0);
    RANK_OK(link->ops->put(port, 0, 4096));
    (void)ucx_peek(port, 0, &bytes);
    ucx_barrier(&boot.base);
    if (rank == 1) { /* alive, and unaware */
        ucx_run_for(link, 50);
        ucx_barrier(&boot.base);
        if (link->ops->reserve(port, 0) != NULL)
            (void)(link->ops->put(port, 0, 4096) == EPX_OK);
        link->ops->tell(link, &notice);
        ucx_run_for(link, 100);
        ucx_barrier(&boot.base);
        link->ops->port_close(port);
        ucx_close(link);
        return 0;
    }
    (link->ops->fail)(link, 1);
    (link->ops->fail)(link, 1);
    RANK_CHECK(link->ops->peek(port, 0, &bytes) == NULL);
    RANK_OK(link->ops->release(port, 0));
    RANK_CHECK(link->ops->reserve(port, 0) == NULL);
    RANK_CHECK(link->ops->put(port, 0, 8) == EPX_ERR_PEER_LOST);
    RANK_CHECK(strstr(epx_last_error(), "rank 1") != NULL);
    ucx_run_for(link, 20);
    ucx_barrier(&boot.base);
    ucx_run_for(link, 100);
    RANK_CHECK(link->ops->peek(port, 0, &bytes) == NULL);
    RANK_CHECK(!link->ops->hear(link, &notice) && link->ops->drained(port));
    ucx_barrier(&boot.base);
    RANK_CHECK(!ucx_hear(link, &notice, 100)); /* its end is no news either */
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_failed_rank_is_not_spoken_to_nor_heard(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, shun, ucx_job_make(2)), 0);
}

static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static int doze(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, job->size, 3, 64, 1);
    double before;
    size_t bytes;

    ucx_barrier(&boot.base);
    ucx_run_for(link, 50);
    before = cpu_s();
    if (rank == 0) {
        ranks_sleep_ms(1000);
        (void)ucx_reserve(port, 0);
        RANK_OK(link->ops->put(port, 0, 8));
    } else {
        (void)ucx_peek(port, 0, &bytes); /* asleep until it comes */
    }
    RANK_CHECK(cpu_s() - before < 0.02);
    ucx_run_for(link, 20);
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_waiting_rank_uses_no_core(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, doze, ucx_job_make(2)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_rank_is_lost_within_3_s_to_ranks_asleep),
        cmocka_unit_test(an_end_is_noticed_by_who_has_the_only_endpoint),
        cmocka_unit_test(an_orderly_close_is_no_loss_and_makes_no_noise),
        cmocka_unit_test(notices_reach_all_others),
        cmocka_unit_test(a_failed_rank_is_not_spoken_to_nor_heard),
        cmocka_unit_test(a_waiting_rank_uses_no_core),
    };
    int skip = ucx_skip();

    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
