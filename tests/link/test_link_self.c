/* test_link_self.c - the link suite over a rank alone, in this very process. */
#include "link/link_suite.h"

#include <poll.h>
#include <time.h>

#include "comm/link/shm.h"
#include "core/mem.h"

static uint64_t now_ns(link_seat *seat)
{
    (void)seat;
    return epx_clock_ns();
}

static void sleep_on_link(link_seat *seat, uint64_t until)
{
    int fds[EPX_LINK_MAX_FDS];
    struct pollfd polled;

    assert_int_equal(seat->link->ops->fds(seat->link, fds), 1);
    polled = (struct pollfd){.fd = fds[0], .events = POLLIN};
    poll(&polled, 1, epx_deadline_left_ms(until, epx_clock_ns(), 1000));
}

static bool run_alone(const link_fixture *fixture, int32_t ranks, link_check check, int32_t victim)
{
    uint64_t live = epx_mem_read().live;
    link_board board;
    link_seat seat = {.fixture = fixture, .board = &board, .ranks = ranks};
    bool good;

    assert_int_equal(victim, -1);
    memset(&board, 0, sizeof(board));
    seat.until = epx_clock_ns() + LINK_LIMIT_NS;
    assert_int_equal(epx_shm_open(0, &seat.rank, 1, NULL, 1000, &seat.link), EPX_OK);
    good = check(&seat);
    seat.link->ops->close(seat.link);
    assert_int_equal(epx_mem_read().live, live);
    return good;
}

static void the_link_is_named_self(void **state)
{
    const int32_t rank = 7;
    epx_link *link;

    (void)state;
    assert_int_equal(epx_shm_open(rank, &rank, 1, NULL, 1000, &link), EPX_OK);
    assert_string_equal(link->ops->name, "self");
    assert_int_equal(link->rank, 7);
    assert_true(link->ops->mapped);
    link->ops->close(link);
}

static void members_without_oneself_are_refused(void **state)
{
    const int32_t other = 3;
    epx_link *link = NULL;

    (void)state;
    assert_int_equal(epx_shm_open(2, &other, 1, NULL, 1000, &link), EPX_ERR_INVALID);
    assert_non_null(strstr(epx_last_error(), "rank 2"));
    assert_null(link);
}

static void every_failed_allocation_of_open_is_clean(void **state)
{
    const int32_t rank = 0;
    epx_link *link = NULL;
    uint64_t live = epx_mem_read().live, n;
    epx_status st;

    (void)state;
    for (n = 1;; n++) {
        epx_mem_fail_at(n);
        st = epx_shm_open(rank, &rank, 1, NULL, 1000, &link);
        epx_mem_fail_at(0);
        if (st == EPX_OK)
            break;
        assert_int_equal(st, EPX_ERR_NO_MEMORY);
        assert_null(link);
        assert_int_equal(epx_mem_read().live, live);
    }
    assert_true(n > 3);
    link->ops->close(link);
    assert_int_equal(epx_mem_read().live, live);
}

int main(void)
{
    static const link_fixture fixture = {.name = "self",
                                         .max_ranks = 1,
                                         .mapped = true,
                                         .loopback = true,
                                         .run = run_alone,
                                         .sleep = sleep_on_link,
                                         .now = now_ns};
    const struct CMUnitTest more[] = {
        cmocka_unit_test(the_link_is_named_self),
        cmocka_unit_test(members_without_oneself_are_refused),
        cmocka_unit_test(every_failed_allocation_of_open_is_clean),
    };

    return link_suite(&fixture, more, sizeof(more) / sizeof(more[0]));
}
