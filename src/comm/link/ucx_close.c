/* ucx_close.c - the end of a link: farewell, flush, then everything is taken down by force.
 *
 * Bounded: a peer that does not take our last bytes costs a second, not more. */
#include <poll.h>

#include "comm/link/ucx_link.h"
#include "comm/link/ucx_port.h"
#include "core/clock.h"
#include "core/mem.h"

#define FLUSH_MS 1000
#define DROP_MS 100

static void flush_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_link *link = arg;

    (void)status;
    link->pending--;
    link->api.ucp_request_free(request);
}

static void say_farewell(epx_ucx_link *link)
{
    ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA,
        .cb.send = flush_done,
        .user_data = link,
    };
    epx_ucx_peer *peer;

    for (peer = link->peers; peer < link->peers + link->size; peer++) {
        /* Who has an endpoint to us must hear it, whether or not we have one to him. */
        if (peer->state == EPX_UCX_FAR && peer->heard)
            epx_ucx_reach(link, peer->rank);
        if (peer->state != EPX_UCX_OPEN)
            continue;
        if (!peer->farewell)
            epx_ucx_send_farewell(peer);
        if (UCS_PTR_IS_PTR(link->api.ucp_ep_flush_nbx(peer->ep, &param)))
            link->pending++;
    }
}

/* Until everything pending is over, at most for `ms`. */
static void settle(epx_ucx_link *link, uint64_t ms)
{
    uint64_t now = epx_clock_ns(), until = epx_deadline(now, ms);
    struct pollfd event = {.fd = link->efd, .events = POLLIN};

    while (link->pending > 0 && now < until) {
        if (!epx_ucx_progress(&link->head) && link->pending > 0 &&
            link->api.ucp_worker_arm(link->worker) == UCS_OK)
            (void)poll(&event, 1, epx_deadline_left_ms(until, now, 10));
        now = epx_clock_ns();
    }
}

static void take_down(epx_ucx_link *link)
{
    epx_ucx_peer *peer;

    link->closing = true;
    say_farewell(link);
    settle(link, FLUSH_MS);
    for (peer = link->peers; peer < link->peers + link->size; peer++)
        epx_ucx_drop(peer);
    settle(link, DROP_MS);
}

void epx_ucx_close(epx_link *base)
{
    epx_ucx_link *link = (epx_ucx_link *)base;

    while (link->ports != NULL)
        epx_ucx_port_close(&link->ports->head);
    if (link->worker != NULL)
        take_down(link);
    epx_ucx_stop(link);
    epx_ucx_reap(link, true);
    epx_mem_free(link->lost);
    epx_mem_free(link->addresses);
    epx_mem_free(link->peers);
    epx_mem_free(link);
}
