/* test_node.c - ranks find the nodes that they really share: by name, by mapping, never by hope. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <epx/comm.h>

#include "comm/link/shm.h"
#include "comm/topo/node.h"
#include "core/clock.h"
#include "core/mem.h"
#include "support/ranks.h"

#define LIMIT_S 20
#define TIMEOUT_MS 5000
enum { MOST = 8 };

/* What a run of find() is given, and what its ranks found. */
typedef struct scene {
    epx_job *job;
    int count;
    const char *name[MOST];     /* NULL: "" */
    int far_rank;               /* leaves the network namespace, -1: none */
    uint64_t fail_at;           /* allocation of rank 1 that fails, 0: none */
    const char *log;            /* file for warnings, NULL: none */
    int32_t (*keys)[MOST];      /* [count] shared: what each rank found */
    _Atomic int32_t *neighbors; /* [count] shared: sockets that its mesh holds, -1: no mesh */
    _Atomic int32_t *status;    /* [count] shared */
    char (*error)[512];         /* [count] shared */
} scene;

static int32_t count_neighbors(const epx_mesh *mesh, int count)
{
    int32_t rank, n = 0;

    if (mesh == NULL)
        return -1;
    for (rank = 0; rank < count; rank++)
        n += epx_mesh_fd(mesh, rank) >= 0;
    return n;
}

/* The members of the node talk over shared memory. */
static void try_shm(int rank, const scene *s, epx_mesh *mesh)
{
    int32_t members[MOST], count = 0, i;
    epx_window *window;
    epx_link *link;

    for (i = 0; i < s->count; i++)
        if (s->keys[rank][i] == s->keys[rank][rank])
            members[count++] = i;
    RANK_OK(epx_shm_open(rank, members, count, mesh, TIMEOUT_MS, &link));
    RANK_OK(link->ops->window_open(link, members, count, 64, &window));
    for (i = 0; i < count; i++)
        atomic_fetch_add((_Atomic int32_t *)window->base[i], 1);
    for (i = 0; i < 5000; i++) {
        if (atomic_load((_Atomic int32_t *)window->base[0]) == count)
            break;
        ranks_sleep_ms(1);
    }
    RANK_CHECK(i < 5000);
    link->ops->window_close(window);
    link->ops->close(link);
}

static int find(int rank, void *arg)
{
    const scene *s = arg;
    const epx_comm_config cfg = {.struct_size = sizeof(cfg),
                                 .rank = rank,
                                 .world_size = s->count,
                                 .job = s->job,
                                 .timeout_ms = TIMEOUT_MS};
    epx_mesh *mesh = NULL;
    epx_boot *boot;
    uint64_t live;
    epx_status st;

    if (s->log != NULL)
        setenv("EPX_LOG_FILE", s->log, 1);
    RANK_OK(epx_boot_open(&cfg, &boot));
    epx_job_destroy(s->job);
    if (rank == s->far_rank)
        RANK_CHECK(unshare(CLONE_NEWNET) == 0);
    memset(s->keys[rank], 0x77, sizeof(s->keys[rank]));
    live = epx_mem_read().live;
    epx_mem_fail_at(rank == 1 ? s->fail_at : 0);
    st = epx_node_find(boot, s->name[rank] == NULL ? "" : s->name[rank], TIMEOUT_MS, s->keys[rank],
                       &mesh);
    epx_mem_fail_at(0);
    atomic_store(&s->status[rank], st);
    atomic_store(&s->neighbors[rank], count_neighbors(mesh, s->count));
    snprintf(s->error[rank], sizeof(s->error[rank]), "%s", st == EPX_OK ? "" : epx_last_error());
    if (st == EPX_OK && s->fail_at == 0)
        try_shm(rank, s, mesh);
    RANK_CHECK(st == EPX_OK || (mesh == NULL && s->keys[rank][0] == 0x77777777));
    epx_mesh_close(mesh);
    RANK_CHECK(epx_mem_read().live == live);
    epx_boot_close(boot, st == EPX_OK);
    return 0;
}

static void run_scene(scene *s)
{
    ranks r;

    s->keys = ranks_shared(sizeof(*s->keys) * (size_t)s->count);
    s->neighbors = ranks_shared(sizeof(*s->neighbors) * (size_t)s->count);
    s->status = ranks_shared(sizeof(*s->status) * (size_t)s->count);
    s->error = ranks_shared(sizeof(*s->error) * (size_t)s->count);
    assert_int_equal(epx_job_create(s->count, NULL, &s->job), EPX_OK);
    ranks_start(&r, s->count, LIMIT_S, find, s);
    epx_job_destroy(s->job);
    assert_int_equal(ranks_wait(&r), 0);
}

/* All ranks succeeded and found the same: keys[count]. */
static void assert_keys(const scene *s, const int32_t *keys)
{
    int rank, i, members;

    for (rank = 0; rank < s->count; rank++) {
        assert_int_equal(s->status[rank], EPX_OK);
        assert_memory_equal(s->keys[rank], keys, (size_t)s->count * sizeof(*keys));
        for (i = 0, members = 0; i < s->count; i++)
            members += keys[i] == keys[rank];
        if (members == 1)
            assert_int_equal(s->neighbors[rank], -1);
        else
            assert_true(s->neighbors[rank] >= members - 1);
    }
}

static void ranks_of_one_host_are_a_node(void **state)
{
    static const int32_t keys[5] = {0, 0, 0, 0, 0};
    scene s = {.count = 5, .far_rank = -1};

    (void)state;
    run_scene(&s);
    assert_keys(&s, keys);
}

static void one_rank_is_a_node(void **state)
{
    static const int32_t keys[1] = {0};
    scene s = {.count = 1, .far_rank = -1};

    (void)state;
    run_scene(&s);
    assert_keys(&s, keys);
}

static void names_make_two_nodes_of_one_host(void **state)
{
    static const int32_t keys[4] = {0, 1, 0, 1};
    scene s = {.count = 4, .name = {"b", "a", "b", "a"}, .far_rank = -1};

    (void)state;
    run_scene(&s);
    assert_keys(&s, keys);
}

static void uneven_names_and_ranks_alone_work(void **state)
{
    static const int32_t keys[6] = {0, 1, 0, 3, 0, 5};
    scene s = {.count = 6, .name = {"x", "y", "x", "z", "x", NULL}, .far_rank = -1};

    (void)state;
    run_scene(&s);
    assert_keys(&s, keys);
}

static void a_named_rank_is_not_on_the_node_of_unnamed_ones(void **state)
{
    static const int32_t keys[4] = {0, 1, 0, 0};
    scene s = {.count = 4, .name = {NULL, "mine", NULL, NULL}, .far_rank = -1};

    (void)state;
    run_scene(&s);
    assert_keys(&s, keys);
}

static void a_name_that_is_too_long_fails_on_all_ranks(void **state)
{
    char name[200];
    scene s = {.count = 3, .far_rank = -1};
    int rank;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    s.name[2] = name;
    run_scene(&s);
    for (rank = 0; rank < 3; rank++) {
        assert_int_equal(s.status[rank], EPX_ERR_INVALID);
        assert_non_null(strstr(s.error[rank], "rank 2"));
    }
    assert_non_null(strstr(s.error[2], "199"));
}

static void an_unreachable_rank_is_a_node_of_its_own(void **state)
{
    static const int32_t keys[4] = {0, 0, 2, 0};
    scene s = {.count = 4, .far_rank = 2};

    (void)state;
    if (geteuid() != 0)
        skip();
    run_scene(&s);
    assert_keys(&s, keys);
}

static void one_name_for_ranks_that_cannot_map_is_warned_about(void **state)
{
    static const int32_t keys[3] = {0, 1, 0};
    char path[] = "/tmp/epx-test-node-XXXXXX", text[4096];
    scene s = {.count = 3, .name = {"same", "same", "same"}, .far_rank = 1, .log = path};
    int fd = mkstemp(path);
    ssize_t n = 0;

    (void)state;
    assert_true(fd >= 0);
    if (geteuid() == 0) {
        run_scene(&s);
        n = read(fd, text, sizeof(text) - 1);
    }
    close(fd);
    unlink(path);
    if (geteuid() != 0)
        skip();
    assert_keys(&s, keys);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "ranks 0 and 1 are both named node same"));
    assert_null(strstr(strstr(text, "both named") + 1, "both named")); /* once for all */
}

static void failed_allocations_of_one_rank_end_it_for_all(void **state)
{
    uint64_t n;
    int rank;

    (void)state;
    for (n = 1; n < 100; n++) {
        scene s = {.count = 3, .far_rank = -1, .fail_at = n};

        run_scene(&s);
        if (s.status[1] == EPX_OK)
            break;
        assert_int_equal(s.status[1], EPX_ERR_NO_MEMORY);
        for (rank = 0; rank < s.count; rank++)
            assert_int_not_equal(s.status[rank], EPX_OK);
    }
    assert_in_range(n, 6, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_of_one_host_are_a_node),
        cmocka_unit_test(one_rank_is_a_node),
        cmocka_unit_test(names_make_two_nodes_of_one_host),
        cmocka_unit_test(uneven_names_and_ranks_alone_work),
        cmocka_unit_test(a_named_rank_is_not_on_the_node_of_unnamed_ones),
        cmocka_unit_test(a_name_that_is_too_long_fails_on_all_ranks),
        cmocka_unit_test(an_unreachable_rank_is_a_node_of_its_own),
        cmocka_unit_test(one_name_for_ranks_that_cannot_map_is_warned_about),
        cmocka_unit_test(failed_allocations_of_one_rank_end_it_for_all),
    };

    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
