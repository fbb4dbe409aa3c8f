/* boot_meeting.h - what tests of the meeting of ranks share: free ports, key files, and the
 * sentence that each rank's failure left. */
#ifndef TESTS_SUPPORT_BOOT_MEETING_H
#define TESTS_SUPPORT_BOOT_MEETING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "comm/boot/addr.h"
#include "comm/boot/message.h"
#include "comm/boot/open.h"
#include "support/boots.h"

#define LIMIT_S 20

typedef struct shared {
    int world;
    int port; /* free ones start here */
    char address[80];
    char key_path[2][64];
    int case_number;
    char sentence[8][256]; /* what each rank's failure was */
    atomic_int arrived[64];
    uint8_t blackboard[16][1024];
} shared;

static shared *plan;
static epx_job *job;

/* A port that is free, with 17 free ones above it, as far as one can know. */
static inline int find_ports(void)
{
    static int next = 21000;
    epx_addr addr;
    int first, i, fd;
    bool in_use;

    assert_int_equal(epx_addr_parse("127.0.0.1", &addr), EPX_OK);
    for (first = next + (int)getpid() % 500 * 20; first < 32000; first += 20) {
        for (i = 0; i < 18; i++) {
            epx_addr_set_port(&addr, (uint16_t)(first + i));
            if (epx_addr_listen(&addr, &fd, &in_use) != EPX_OK)
                break;
            close(fd);
        }
        if (i == 18)
            break;
    }
    next += 20;
    return first;
}

static inline int listen_on(int port)
{
    epx_addr addr;
    bool in_use;
    int fd;

    assert_int_equal(epx_addr_parse("127.0.0.1", &addr), EPX_OK);
    epx_addr_set_port(&addr, (uint16_t)port);
    assert_int_equal(epx_addr_listen(&addr, &fd, &in_use), EPX_OK);
    return fd;
}

static inline epx_comm_config by_address(int rank, uint32_t timeout_ms)
{
    return (epx_comm_config){.struct_size = sizeof(epx_comm_config),
                             .rank = rank,
                             .world_size = plan->world,
                             .address = plan->address,
                             .timeout_ms = timeout_ms};
}

static inline int run(int world, ranks_body body)
{
    plan->world = world;
    plan->port = find_ports();
    snprintf(plan->address, sizeof(plan->address), "127.0.0.1:%d", plan->port);
    memset(plan->sentence, 0, sizeof(plan->sentence));
    return ranks_run(world, LIMIT_S, body, NULL);
}

/* Every rank but `except` has told the same sentence, with these words in it. */
static inline void assert_told(int except, const char *a, const char *b)
{
    int i, first = except == 0 ? 1 : 0;

    for (i = 0; i < plan->world; i++) {
        if (i == except)
            continue;
        assert_string_equal(plan->sentence[i], plan->sentence[first]);
        assert_non_null(strstr(plan->sentence[i], a));
        assert_non_null(strstr(plan->sentence[i], b));
    }
}

static inline int fail_with(int rank, const epx_comm_config *cfg, epx_status expected)
{
    epx_boot *boot = NULL;
    epx_status st = epx_boot_open(cfg, &boot);

    snprintf(plan->sentence[rank], sizeof(plan->sentence[rank]), "%s", epx_last_error());
    RANK_CHECK(st == expected);
    RANK_CHECK(boot == NULL);
    RANK_CHECK(epx_mem_read().live == 0);
    return 0;
}

static inline int make_plan(void **state)
{
    int i, j;

    (void)state;
    setenv("EPX_LOG", "error", 1);
    plan = ranks_shared(sizeof(*plan));
    for (i = 0; i < 2; i++) {
        int fd;

        snprintf(plan->key_path[i], sizeof(plan->key_path[i]), "/tmp/epx-key-XXXXXX");
        fd = mkstemp(plan->key_path[i]);
        if (fd < 0)
            return -1;
        for (j = 0; j < EPX_KEY_BYTES; j++)
            if (write(fd, &"kK"[i], 1) != 1)
                return -1;
        close(fd);
    }
    return 0;
}

static inline int drop_plan(void **state)
{
    (void)state;
    unlink(plan->key_path[0]);
    unlink(plan->key_path[1]);
    return 0;
}

#endif /* TESTS_SUPPORT_BOOT_MEETING_H */
