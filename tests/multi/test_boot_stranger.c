/* test_boot_stranger.c - whoever knocks at rank 0's port: the job starts on time, at a bounded
 * cost, with one line in the log.
 *
 * Ranks 0 to N-2 are in the meeting; strangers do their worst; then the last rank comes, and all
 * must meet within the extra time that is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "comm/boot/addr.h"
#include "comm/boot/auth.h"
#include "comm/boot/frame.h"
#include "comm/boot/handshake.h"
#include "comm/boot/job.h"
#include "comm/boot/message.h"
#include "support/boots.h"

#define LIMIT_S 20
#define WORLD 4
#define EXTRA_MS 50 /* that strangers may cost; the machine's own noise comes on top */
#define NOISE_MS 150

typedef struct shared {
    atomic_int go; /* the last rank may come */
    atomic_int met;
    _Atomic uint64_t go_ns, met_ns;
    atomic_long rss_growth;
} shared;

static shared *plan;
static epx_job *job;
static int log_fd = -1;

static long rss_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f != NULL && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f != NULL)
        fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static int rank_body(int rank, void *arg)
{
    epx_boot *boot;
    long before = rss_bytes();

    (void)arg;
    if (rank == 0)
        dup2(log_fd, STDERR_FILENO);
    while (rank == WORLD - 1 && atomic_load(&plan->go) == 0)
        ranks_sleep_ms(1);
    boot = boot_open(rank, WORLD, job);
    if (rank == 0)
        atomic_store(&plan->rss_growth, rss_bytes() - before);
    if (atomic_fetch_add(&plan->met, 1) == WORLD - 1)
        atomic_store(&plan->met_ns, epx_clock_ns());
    boot_barrier(boot);
    epx_boot_close(boot, true);
    epx_job_destroy(job);
    return 0;
}

static int knock(void)
{
    int fd = -1;

    assert_int_equal(epx_addr_connect(&job->address, epx_deadline(epx_clock_ns(), 2000), &fd),
                     EPX_OK);
    return fd;
}

/* Opens a file that rank 0's log goes to, and forgets its name. */
static void open_log(void)
{
    char path[] = "/tmp/epx-stranger-XXXXXX";

    log_fd = mkstemp(path);
    assert_true(log_fd >= 0);
    unlink(path);
}

static int log_lines(const char *word)
{
    static char text[1 << 16];
    ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);
    const char *at = text;
    int count = 0;

    assert_true(n >= 0);
    text[n] = '\0';
    while ((at = strstr(at, word)) != NULL) {
        count++;
        at++;
    }
    return count;
}

/* What strangers do while the meeting is held; the descriptors that they keep open. */
typedef void (*mischief)(int *fds, int max, int *count);

static void let_last_rank_come(void)
{
    if (atomic_load(&plan->go) != 0)
        return;
    atomic_store(&plan->go_ns, epx_clock_ns());
    atomic_store(&plan->go, 1);
}

static void meet_despite(mischief act)
{
    static int fds[12000];
    uint64_t took_ms;
    int i, count = 0;
    ranks r;

    memset(plan, 0, sizeof(*plan));
    open_log();
    assert_int_equal(epx_job_create(WORLD, NULL, &job), EPX_OK);
    ranks_start(&r, WORLD, LIMIT_S, rank_body, NULL);
    ranks_sleep_ms(100);
    act(fds, 12000, &count);
    let_last_rank_come();
    assert_int_equal(ranks_wait(&r), 0);
    for (i = 0; i < count; i++)
        close(fds[i]);
    epx_job_destroy(job);
    took_ms = (atomic_load(&plan->met_ns) - atomic_load(&plan->go_ns)) / EPX_NS_PER_MS;
    assert_in_range(took_ms, 0, EXTRA_MS + NOISE_MS);
    assert_in_range(atomic_load(&plan->rss_growth), 0, 4 << 20);
}

static void stay_silent(int *fds, int max, int *count)
{
    (void)max;
    while (*count < 100) /* more than there are slots */
        fds[(*count)++] = knock();
}

static void silent_strangers_cost_nothing(void **state)
{
    (void)state;
    meet_despite(stay_silent);
    assert_int_equal(log_lines("refused a connection"), 1);
    close(log_fd);
}

static void talk_garbage(int *fds, int max, int *count)
{
    static const char *const words[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02",
                                        "SSH-2.0-x\r\n"};
    int i;

    (void)max;
    for (i = 0; i < 60; i++) {
        int fd = knock();

        assert_true(send(fd, words[i % 3], strlen(words[i % 3]), MSG_NOSIGNAL) > 0);
        fds[(*count)++] = fd;
    }
}

static void garbage_is_refused_and_logged_once(void **state)
{
    (void)state;
    meet_despite(talk_garbage);
    assert_int_equal(log_lines("refused a connection"), 1);
    close(log_fd);
}

/* The beginning of a good hello, a byte at a time, on many connections. */
static void talk_slowly(int *fds, int max, int *count)
{
    uint8_t hello[EPX_BOOT_FRAME_HEAD + EPX_HELLO_BYTES] = {0};
    int i, byte;

    (void)max;
    epx_boot_frame_seal(hello, EPX_MSG_HELLO, 0, EPX_HELLO_BYTES);
    while (*count < 64)
        fds[(*count)++] = knock();
    for (byte = 0; byte < 20; byte++) {
        for (i = 0; i < *count; i++)
            (void)!send(fds[i], &hello[byte], 1, MSG_NOSIGNAL);
        ranks_sleep_ms(5);
    }
}

static void slow_strangers_delay_nobody(void **state)
{
    (void)state;
    meet_despite(talk_slowly);
    close(log_fd);
}

static epx_ident impostor(bool knows_id)
{
    epx_ident ident = {.claim = {.rank = WORLD - 1,
                                 .world_size = WORLD,
                                 .library = EPX_VERSION,
                                 .wire = EPX_WIRE_VERSION,
                                 .keyed = true}};

    if (knows_id)
        epx_auth_job_id(job->key, "fork", ident.job_id); /* overheard */
    memset(ident.key, 1, sizeof(ident.key));
    return ident;
}

static void send_frame(int fd, uint16_t type, uint32_t sequence, const uint8_t *payload,
                       uint32_t length)
{
    uint8_t bytes[512];

    memcpy(bytes + EPX_BOOT_FRAME_HEAD, payload, length);
    epx_boot_frame_seal(bytes, type, sequence, length);
    assert_true(send(fd, bytes, EPX_BOOT_FRAME_HEAD + length, MSG_NOSIGNAL) > 0);
}

static uint16_t answer_type(int fd)
{
    uint8_t bytes[512];
    epx_boot_frame frame = {.type = 0};
    struct timeval patience = {.tv_sec = 2};
    size_t used = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while (epx_boot_frame_read(bytes, used, 488, 0, &frame) == EPX_BOOT_FRAME_MORE) {
        n = recv(fd, bytes + used, sizeof(bytes) - used, 0);
        if (n <= 0)
            return 0;
        used += (size_t)n;
    }
    return frame.type;
}

static void claim_with_wrong_keys(int *fds, int max, int *count)
{
    uint8_t hello[EPX_HELLO_BYTES], proof[EPX_MAC_BYTES] = {7};
    int i;

    (void)max;
    for (i = 0; i < 20; i++) {
        epx_ident ident = impostor(i % 2 == 1);
        int fd = knock();

        epx_hello_make(&ident, hello);
        send_frame(fd, EPX_MSG_HELLO, 0, hello, sizeof(hello));
        if (i % 2 == 0) {
            assert_int_equal(answer_type(fd), EPX_MSG_REFUSE);
        } else {
            assert_int_equal(answer_type(fd), EPX_MSG_CHALLENGE);
            send_frame(fd, EPX_MSG_PROOF, 1, proof, sizeof(proof));
            assert_int_equal(answer_type(fd), 0); /* closed without a word */
        }
        fds[(*count)++] = fd;
    }
}

static void the_right_magic_with_a_wrong_key_gets_no_seat(void **state)
{
    (void)state;
    meet_despite(claim_with_wrong_keys);
    assert_int_equal(log_lines("authentication: refused a connection"), 1);
    close(log_fd);
}

/* Valid hellos of the right job id fill all slots and stay. */
static void hold_all_slots(int *fds, int max, int *count)
{
    uint8_t hello[EPX_HELLO_BYTES];

    (void)max;
    while (*count < 80) {
        epx_ident ident = impostor(true);
        int fd = knock();

        epx_hello_make(&ident, hello);
        send_frame(fd, EPX_MSG_HELLO, 0, hello, sizeof(hello));
        fds[(*count)++] = fd;
    }
}

static void full_slots_make_room_for_a_rank(void **state)
{
    (void)state;
    meet_despite(hold_all_slots);
    close(log_fd);
}

static void flood(int *fds, int max, int *count)
{
    int i;

    for (i = 0; i < 16000; i++) {
        int fd = knock();

        if (*count < 500 && *count < max)
            fds[(*count)++] = fd;
        else
            close(fd);
        if (i == 10000) /* the last rank comes in the middle of it */
            let_last_rank_come();
        if (atomic_load(&plan->met) == WORLD)
            break; /* nobody accepts any more */
    }
    assert_true(i > 10000);
}

static void ten_thousand_connections_delay_nobody(void **state)
{
    (void)state;
    meet_despite(flood);
    assert_int_equal(log_lines("refused a connection"), 1);
    close(log_fd);
}

/* A stranger that is let wait is dropped after its 5 s: seen from its side. */
static int patient_body(int rank, void *arg)
{
    epx_comm_config cfg = boot_config(rank, 2, job);
    epx_boot *boot;

    (void)arg;
    cfg.timeout_ms = 6500;
    if (rank == 0)
        RANK_CHECK(epx_boot_open(&cfg, &boot) == EPX_ERR_TIMEOUT);
    epx_job_destroy(job);
    return 0;
}

static void a_silent_stranger_is_dropped_after_five_seconds(void **state)
{
    struct timeval patience = {.tv_sec = 10};
    double began;
    char byte;
    ranks r;
    int fd;

    (void)state;
    assert_int_equal(epx_job_create(2, NULL, &job), EPX_OK);
    ranks_start(&r, 2, LIMIT_S, patient_body, NULL);
    fd = knock();
    began = ranks_now_s();
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    assert_true(ranks_now_s() - began > 4.5 && ranks_now_s() - began < 6.0);
    close(fd);
    assert_int_equal(ranks_wait(&r), 0);
    epx_job_destroy(job);
}

static int make_plan(void **state)
{
    struct rlimit files;

    (void)state;
    plan = ranks_shared(sizeof(*plan));
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return -1;
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_strangers_cost_nothing),
        cmocka_unit_test(garbage_is_refused_and_logged_once),
        cmocka_unit_test(slow_strangers_delay_nobody),
        cmocka_unit_test(the_right_magic_with_a_wrong_key_gets_no_seat),
        cmocka_unit_test(full_slots_make_room_for_a_rank),
        cmocka_unit_test(ten_thousand_connections_delay_nobody),
        cmocka_unit_test(a_silent_stranger_is_dropped_after_five_seconds),
    };

    return cmocka_run_group_tests(tests, make_plan, NULL);
}
