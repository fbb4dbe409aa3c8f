/* test_mesh.c - Unix sockets between the ranks of a host: who gets one, descriptors, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "comm/boot/mesh.h"
#include "support/boots.h"

#define LIMIT_S 20

typedef struct shared {
    int world;
    int victim;
    atomic_int stop;
    atomic_int strangers;
} shared;

static shared *plan;
static epx_job *job;

static int run(int world, ranks_body body)
{
    int failed;

    plan->world = world;
    assert_int_equal(epx_job_create(world, NULL, &job), EPX_OK);
    failed = ranks_run(world, LIMIT_S, body, NULL);
    epx_job_destroy(job);
    return failed;
}

static epx_boot *open_parent(int rank)
{
    epx_boot *boot = boot_open(rank, plan->world, job);

    epx_job_destroy(job);
    return boot;
}

static epx_mesh *open_mesh(epx_boot *boot, const int32_t *candidates, int32_t count)
{
    epx_mesh *mesh = NULL;

    RANK_OK(epx_mesh_open(boot, candidates, count, BOOT_TIMEOUT_MS, &mesh));
    return mesh;
}

static epx_mesh *open_full_mesh(epx_boot *boot)
{
    int32_t all[RANKS_MAX], i;

    for (i = 0; i < boot->size; i++)
        all[i] = i;
    return open_mesh(boot, all, boot->size);
}

static uint64_t soon(void)
{
    return epx_deadline(epx_clock_ns(), BOOT_TIMEOUT_MS);
}

static void leave(epx_boot *boot, epx_mesh *mesh)
{
    boot_barrier(boot);
    epx_mesh_close(mesh);
    boot_leave(boot);
}

static int full_body(int rank, void *arg)
{
    epx_boot *boot = open_parent(rank);
    epx_mesh *mesh = open_full_mesh(boot);
    int32_t i;

    (void)arg;
    for (i = 0; i < boot->size; i++) {
        RANK_CHECK((epx_mesh_fd(mesh, i) >= 0) == (i != rank));
        RANK_CHECK(!epx_mesh_lost(mesh, i));
    }
    RANK_CHECK(epx_mesh_fd(mesh, -1) == -1 && epx_mesh_fd(mesh, boot->size) == -1);
    leave(boot, mesh);
    return 0;
}

static void every_pair_of_neighbours_gets_a_socket(void **state)
{
    (void)state;
    assert_int_equal(run(1, full_body), 0);
    assert_int_equal(run(2, full_body), 0);
    assert_int_equal(run(16, full_body), 0);
}

static void sixty_four_ranks_connect_in_time(void **state)
{
    double began = ranks_now_s();

    (void)state;
    assert_int_equal(run(64, full_body), 0);
    assert_true(ranks_now_s() - began < 5.0);
}

static int parts_body(int rank, void *arg)
{
    static const int32_t nodes[3][3] = {{0, 2, 4}, {1, 3, -1}, {5, -1, -1}};
    static const int32_t counts[3] = {3, 2, 1};
    int node = rank == 5 ? 2 : rank % 2;
    epx_boot *boot = open_parent(rank);
    epx_mesh *mesh = open_mesh(boot, nodes[node], counts[node]);
    int32_t i;

    (void)arg;
    for (i = 0; i < boot->size; i++)
        RANK_CHECK((epx_mesh_fd(mesh, i) >= 0) ==
                   (i != rank && i != 5 && rank != 5 && i % 2 == rank % 2));
    leave(boot, mesh);
    return 0;
}

static void only_candidates_are_connected(void **state)
{
    (void)state;
    assert_int_equal(run(6, parts_body), 0);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void send_word(epx_mesh *mesh, int32_t to, uint64_t tag, const char *word, int copies)
{
    int ends[2], fds[EPX_MESH_MAX_FDS], i;

    RANK_CHECK(pipe(ends) == 0);
    RANK_CHECK(write(ends[1], word, strlen(word)) == (ssize_t)strlen(word));
    for (i = 0; i < copies; i++)
        fds[i] = ends[0];
    RANK_OK(epx_mesh_send_fds(mesh, to, tag, fds, copies, soon()));
    close(ends[0]);
    close(ends[1]);
}

static void expect_word(epx_mesh *mesh, int32_t from, uint64_t tag, const char *word, int copies)
{
    int fds[EPX_MESH_MAX_FDS], i;
    char text[32] = {0};

    RANK_OK(epx_mesh_recv_fds(mesh, from, tag, fds, copies, soon()));
    RANK_CHECK(read(fds[copies - 1], text, sizeof(text) - 1) == (ssize_t)strlen(word));
    RANK_CHECK(strcmp(text, word) == 0);
    for (i = 0; i < copies; i++) {
        RANK_CHECK((fcntl(fds[i], F_GETFD) & FD_CLOEXEC) != 0);
        close(fds[i]);
    }
}

static int pass_body(int rank, void *arg)
{
    epx_boot *boot = open_parent(rank);
    epx_mesh *mesh = open_full_mesh(boot);
    char word[32];
    int32_t i;

    (void)arg;
    for (i = 0; i < boot->size; i++) {
        snprintf(word, sizeof(word), "%d to %d", rank, i);
        if (i != rank)
            send_word(mesh, i, 7, word, 1 + i % EPX_MESH_MAX_FDS);
    }
    for (i = 0; i < boot->size; i++) {
        snprintf(word, sizeof(word), "%d to %d", i, rank);
        if (i != rank)
            expect_word(mesh, i, 7, word, 1 + rank % EPX_MESH_MAX_FDS);
    }
    leave(boot, mesh);
    return 0;
}

static void descriptors_reach_the_rank_they_are_for(void **state)
{
    (void)state;
    assert_int_equal(run(9, pass_body), 0);
}

static int tags_body(int rank, void *arg)
{
    epx_boot *boot = open_parent(rank);
    epx_mesh *mesh = open_full_mesh(boot);
    uint64_t tag;
    int fds[2];

    (void)arg;
    if (rank == 0) {
        send_word(mesh, 1, 1, "one", 1);
        send_word(mesh, 1, 2, "two", 2);
        send_word(mesh, 1, 2, "again", 1);
        for (tag = 100; tag < 160; tag++) /* never asked for: the oldest make room */
            send_word(mesh, 1, tag, "x", 1);
        send_word(mesh, 1, 3, "three", 1);
    } else {
        expect_word(mesh, 0, 2, "two", 2);
        expect_word(mesh, 0, 1, "one", 1);
        expect_word(mesh, 0, 2, "again", 1);
        expect_word(mesh, 0, 3, "three", 1);
        expect_word(mesh, 0, 159, "x", 1);
        RANK_CHECK(epx_mesh_recv_fds(mesh, 0, 158, fds, 2, soon()) == EPX_ERR_MISMATCH);
        RANK_CHECK(epx_mesh_recv_fds(mesh, 0, 9, fds, 1, epx_deadline(epx_clock_ns(), 50)) ==
                   EPX_ERR_TIMEOUT);
        RANK_CHECK(epx_mesh_recv_fds(mesh, 0, 9, fds, 9, soon()) == EPX_ERR_INVALID);
        RANK_CHECK(epx_mesh_recv_fds(mesh, 1, 9, fds, 1, soon()) == EPX_ERR_PEER_LOST);
    }
    leave(boot, mesh);
    return 0;
}

static int count_open(void)
{
    int i, open = 0;

    for (i = 0; i < 512; i++)
        open += fcntl(i, F_GETFD) >= 0;
    return open;
}

static int no_leak_body(int rank, void *arg)
{
    int before = count_open() - 1; /* without the job's listener, closed on the way */
    int code = tags_body(rank, arg);

    RANK_CHECK(count_open() == before);
    return code;
}

static void tags_are_matched_and_left_overs_closed(void **state)
{
    (void)state;
    assert_int_equal(run(2, no_leak_body), 0);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static int end_body(int rank, void *arg)
{
    epx_boot *boot = open_parent(rank);
    epx_mesh *mesh = open_full_mesh(boot);
    struct pollfd p = {.events = POLLRDHUP};
    int fd;

    (void)arg;
    boot_barrier(boot);
    if (rank == 1) {
        send_word(mesh, 0, 4, "last words", 1);
        raise(SIGKILL);
    }
    p.fd = epx_mesh_fd(mesh, 1);
    RANK_CHECK(poll(&p, 1, 1000) == 1);
    RANK_CHECK(epx_mesh_lost(mesh, 1));
    RANK_CHECK(epx_mesh_fd(mesh, 1) == -1);
    RANK_CHECK(epx_mesh_recv_fds(mesh, 1, 4, &fd, 1, soon()) == EPX_ERR_PEER_LOST);
    RANK_CHECK(epx_mesh_send_fds(mesh, 1, 4, &boot->fd, 1, soon()) == EPX_ERR_PEER_LOST);
    RANK_CHECK(!epx_mesh_lost(mesh, rank == 0 ? 2 : 0));
    send_word(mesh, rank == 0 ? 2 : 0, 5, "still here", 1);
    expect_word(mesh, rank == 0 ? 2 : 0, 5, "still here", 1);
    epx_mesh_close(mesh);
    epx_boot_close(boot, false);
    RANK_CHECK(epx_mem_read().live == 0);
    return 0;
}

static void the_end_of_a_rank_is_the_end_of_its_socket(void **state)
{
    (void)state;
    assert_int_equal(run(3, end_body), 1);
}

static int far_body(int rank, void *arg)
{
    epx_boot *boot = open_parent(rank);
    int32_t i, moved = rank == plan->victim && unshare(CLONE_NEWNET) == 0, all[8];
    epx_mesh *mesh;

    (void)arg;
    RANK_OK(epx_boot_allgather(boot, &moved, sizeof(moved), all, BOOT_TIMEOUT_MS));
    mesh = open_full_mesh(boot);
    for (i = 0; i < boot->size; i++)
        RANK_CHECK((epx_mesh_fd(mesh, i) >= 0) == (i != rank && all[i] == all[rank]));
    leave(boot, mesh);
    return all[plan->victim] != 0 ? 0 : 77;
}

static void another_network_namespace_is_out_of_reach_both_ways(void **state)
{
    int failed;

    (void)state;
    for (plan->victim = 0; plan->victim < 3; plan->victim++) {
        failed = run(3, far_body);
        if (failed == 3)
            skip(); /* not allowed to make a namespace */
        assert_int_equal(failed, 0);
    }
}

/* Connects to every name of a mesh that /proc tells, and says nothing, or nonsense. */
static void pester(int turn)
{
    FILE *f = fopen("/proc/net/unix", "r");
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        char *name = strstr(line, "@epx");
        int fd;

        if (name == NULL)
            continue;
        name[strcspn(name, "\n")] = '\0';
        memcpy(address.sun_path + 1, name + 1, strlen(name + 1));
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(fd, (const struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 0) {
            atomic_fetch_add(&plan->strangers, 1);
            if (turn % 2 == 0)
                (void)!send(fd, line, 44, MSG_NOSIGNAL);
        }
        if (turn % 3 != 0)
            close(fd); /* the others stay, silent, until this process ends */
    }
    if (f != NULL)
        fclose(f);
}

static int stranger_body(int rank, void *arg)
{
    int turn, i;

    if (rank == plan->world) {
        for (turn = 0; atomic_load(&plan->stop) == 0; turn++)
            pester(turn);
        epx_job_destroy(job);
        return 0;
    }
    for (i = 0; i < 30; i++) {
        epx_boot *boot = boot_open(rank, plan->world, job);
        epx_mesh *mesh = open_full_mesh(boot);

        boot_barrier(boot);
        epx_mesh_close(mesh);
        epx_boot_close(boot, true);
    }
    (void)arg;
    if (rank == 0)
        atomic_store(&plan->stop, 1);
    epx_job_destroy(job);
    return 0;
}

static void strangers_on_the_sockets_change_nothing(void **state)
{
    (void)state;
    plan->world = 6;
    assert_int_equal(epx_job_create(6, NULL, &job), EPX_OK);
    assert_int_equal(ranks_run(7, LIMIT_S, stranger_body, NULL), 0);
    epx_job_destroy(job);
    assert_true(atomic_load(&plan->strangers) > 0);
}

static int make_plan(void **state)
{
    (void)state;
    plan = ranks_shared(sizeof(*plan));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_neighbours_gets_a_socket),
        cmocka_unit_test(sixty_four_ranks_connect_in_time),
        cmocka_unit_test(only_candidates_are_connected),
        cmocka_unit_test(descriptors_reach_the_rank_they_are_for),
        cmocka_unit_test(tags_are_matched_and_left_overs_closed),
        cmocka_unit_test(the_end_of_a_rank_is_the_end_of_its_socket),
        cmocka_unit_test(another_network_namespace_is_out_of_reach_both_ways),
        cmocka_unit_test(strangers_on_the_sockets_change_nothing),
    };

    return cmocka_run_group_tests(tests, make_plan, NULL);
}
