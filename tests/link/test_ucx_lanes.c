/* test_ucx_lanes.c - which transports UCX uses, and that it leaves the process as it was. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link/ucx_job.h"

extern char **environ;

static bool names_shared_memory(const char *text)
{
    static const char *const names[] = {"sysv", "posix", "cma", "xpmem", "knem", "sm/", "memory"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strstr(text, names[i]) != NULL)
            return true;
    return false;
}

static void shared_memory_is_recognised_in_a_description(void **state)
{
    (void)state;
    assert_true(
        names_shared_memory("lane[0]:  4:posix/memory.0 md[4]  -> md[4]/posix/sysdev[255]"));
    assert_true(names_shared_memory("lane[1]:  5:cma/memory.0 md[5] -> md[5]/cma/sysdev[255]"));
    assert_false(names_shared_memory("lane[0]:  0:tcp/lo.0 md[0] -> md[0]/tcp/sysdev[255] am"));
}

/* What UCX says about the endpoints of the 2 ranks of a job, to oneself and to the other. */
static void describe_both(epx_boot *boot, char text[2][8192])
{
    epx_link *link = ucx_open_all_far(boot);
    int i;

    for (i = 0; i < 2; i++)
        RANK_OK(epx_ucx_describe(link, i, text[i], sizeof(text[i])));
    ucx_barrier(boot);
    ucx_close(link);
}

static int look_for_shared_memory(int rank, void *job)
{
    static char text[2][8192];
    ucx_boot boot;
    int i;

    unsetenv("EPX_UCX_TLS");
    unsetenv("UCX_TLS");
    describe_both(ucx_boot_init(&boot, job, rank), text);
    for (i = 0; i < 2; i++) {
        RANK_CHECK(strstr(text[i], "lane[0]") != NULL && strstr(text[i], "tcp/") != NULL);
        RANK_CHECK(!names_shared_memory(text[i]));
        RANK_CHECK(strstr(text[i], "rndv>") == NULL);
    }
    return 0;
}

static void tcp_only_leaves_no_lane_over_shared_memory(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, look_for_shared_memory, ucx_job_make(2)), 0);
}

/* With all transports UCX chooses its own threshold for rendezvous, which tcp alone has not. */
static int look_for_rendezvous(int rank, void *job)
{
    static char text[2][8192];
    ucx_boot boot;

    setenv("EPX_UCX_TLS", "all", 1);
    setenv("UCX_TLS", "tcp", 1);
    describe_both(ucx_boot_init(&boot, job, rank), text);
    RANK_CHECK(strstr(text[1 - rank], "rndv>") != NULL);
    setenv("EPX_UCX_TLS", "", 1);
    describe_both(&boot.base, text);
    RANK_CHECK(strstr(text[1 - rank], "rndv>") == NULL);
    return 0;
}

static void the_users_transports_win_and_ours_win_over_ucxs(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, look_for_rendezvous, ucx_job_make(2)), 0);
}

static int describe_into_little(int rank, void *job)
{
    char text[16];
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));

    memset(text, 'x', sizeof(text));
    RANK_OK(epx_ucx_describe(link, 0, text, 8));
    RANK_CHECK(memchr(text, '\0', 8) != NULL && text[8] == 'x');
    RANK_CHECK(epx_ucx_describe(link, 1, text, 8) == EPX_ERR_INVALID);
    RANK_CHECK(epx_ucx_describe(link, -1, text, 8) == EPX_ERR_INVALID);
    RANK_CHECK(epx_ucx_describe(link, 0, text, 0) == EPX_ERR_INVALID);
    ucx_close(link);
    return 0;
}

static void a_description_is_cut_to_the_room_there_is(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(1, 10, describe_into_little, ucx_job_make(1)), 0);
}

static uint64_t hash_environment(void)
{
    uint64_t hash = 1469598103934665603u;
    const char *text;
    char **entry;

    for (entry = environ; *entry != NULL; entry++)
        for (text = *entry; *text != '\0'; text++)
            hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

/* Handlers of the signals that UCX likes to take. */
static void read_handlers(void (*handlers[5])(int))
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    struct sigaction action;
    int i;

    for (i = 0; i < 5; i++) {
        RANK_CHECK(sigaction(numbers[i], NULL, &action) == 0);
        handlers[i] = action.sa_handler;
    }
}

static int compare_process(int rank, void *job)
{
    void (*before[5])(int), (*after[5])(int);
    sigset_t mask, mask_after;
    uint64_t environment;
    ucx_boot boot;
    epx_link *link;

    setenv("UCX_TCP_KEEPCNT", "7", 1); /* one that we would set as well */
    environment = hash_environment();
    read_handlers(before);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    sigprocmask(SIG_BLOCK, NULL, &mask_after);
    RANK_CHECK(sigismember(&mask_after, SIGUSR1) == 1 && sigismember(&mask_after, SIGTERM) == 0);
    RANK_CHECK(hash_environment() == environment);
    read_handlers(after);
    RANK_CHECK(memcmp(before, after, sizeof(before)) == 0);
    ucx_close(link);
    return 0;
}

static void environment_handlers_and_signal_mask_are_as_before(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(1, 10, compare_process, ucx_job_make(1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_memory_is_recognised_in_a_description),
        cmocka_unit_test(tcp_only_leaves_no_lane_over_shared_memory),
        cmocka_unit_test(the_users_transports_win_and_ours_win_over_ucxs),
        cmocka_unit_test(a_description_is_cut_to_the_room_there_is),
        cmocka_unit_test(environment_handlers_and_signal_mask_are_as_before),
    };
    int skip = ucx_skip();

    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
