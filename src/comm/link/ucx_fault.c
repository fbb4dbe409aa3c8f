/* ucx_fault.c - endpoints, from their making to their failing, and what is heard about it.
 *
 * An endpoint is made once, on first use, and never again after it failed. Its error callback runs
 * inside progress, so it only notes rank and status; the loop closes the endpoint and reports the
 * rank, once. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "comm/link/ucx_link.h"
#include "comm/link/ucx_port.h"
#include "core/log.h"

epx_status epx_ucx_fail_lost(const epx_ucx_peer *peer)
{
    if (peer->failed)
        return epx_fail(EPX_ERR_PEER_LOST, "ucx: rank %d is not spoken to any more", peer->rank);
    if (peer->farewell)
        return epx_fail(EPX_ERR_PEER_LOST, "ucx: rank %d has closed its link", peer->rank);
    return epx_fail(EPX_ERR_PEER_LOST, "ucx: rank %d is lost: %s", peer->rank,
                    peer->link->api.ucs_status_string(peer->status));
}

void epx_ucx_note_broken(epx_ucx_link *link, int32_t rank, ucs_status_t status)
{
    epx_ucx_peer *peer = &link->peers[rank];

    if (peer->state == EPX_UCX_BROKEN || peer->state == EPX_UCX_GONE)
        return;
    peer->state = EPX_UCX_BROKEN;
    peer->status = status;
    link->any_broken = true;
}

static void on_endpoint_error(void *arg, ucp_ep_h ep, ucs_status_t status)
{
    epx_ucx_peer *peer = arg;

    (void)ep;
    epx_ucx_note_broken(peer->link, peer->rank, status);
}

static ucs_status_t make_endpoint(epx_ucx_peer *peer)
{
    const epx_ucx_link *link = peer->link;
    ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER,
        .address =
            (const ucp_address_t *)(link->addresses + (size_t)peer->rank * link->address_bytes),
        .err_mode = UCP_ERR_HANDLING_MODE_PEER,
        .err_handler = {.cb = on_endpoint_error, .arg = peer},
    };

    return link->api.ucp_ep_create(link->worker, &params, &peer->ep);
}

bool epx_ucx_reach(epx_ucx_link *link, int32_t rank)
{
    epx_ucx_peer *peer = &link->peers[rank];
    ucs_status_t status;

    if (peer->state == EPX_UCX_OPEN)
        return true;
    if (peer->state != EPX_UCX_FAR)
        return false;
    status = make_endpoint(peer);
    if (status != UCS_OK) {
        peer->ep = NULL;
        epx_ucx_note_broken(link, rank, status);
        return false;
    }
    peer->state = EPX_UCX_OPEN;
    if (!link->closing)
        epx_ucx_send_hello(peer);
    return true;
}

static void close_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_link *link = arg;

    (void)status;
    link->pending--;
    link->api.ucp_request_free(request);
}

void epx_ucx_drop(epx_ucx_peer *peer)
{
    epx_ucx_link *link = peer->link;
    ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS,
        .flags = UCP_EP_CLOSE_FLAG_FORCE,
        .cb.send = close_done,
        .user_data = link,
    };
    ucs_status_ptr_t request;

    peer->state = EPX_UCX_GONE;
    if (peer->ep == NULL)
        return;
    request = link->api.ucp_ep_close_nbx(peer->ep, &param);
    peer->ep = NULL;
    if (UCS_PTR_IS_PTR(request))
        link->pending++;
}

void epx_ucx_bury(epx_ucx_link *link)
{
    epx_ucx_peer *peer;

    link->any_broken = false;
    for (peer = link->peers; peer < link->peers + link->size; peer++) {
        if (peer->state != EPX_UCX_BROKEN)
            continue;
        epx_ucx_drop(peer);
        if (link->closing || peer->farewell)
            continue;
        epx_log(EPX_LOG_DEBUG, "ucx: rank %d lost: %s", peer->rank,
                link->api.ucs_status_string(peer->status));
        link->lost[link->lost_tail++] = peer->rank;
    }
}

void epx_ucx_note_heard(epx_ucx_link *link, const epx_notice *notice)
{
    if (link->heard_tail - link->heard_head == EPX_UCX_MAX_HEARD)
        return; /* more than anyone says in earnest */
    link->heard[link->heard_tail++ % EPX_UCX_MAX_HEARD] = *notice;
}

void epx_ucx_note_corrupt(epx_ucx_link *link, int32_t rank, const char *format, ...)
{
    epx_notice notice = {
        .kind = EPX_NOTICE_ABORT,
        .from = link->head.rank,
        .rank = rank,
        .status = EPX_ERR_CORRUPT,
    };
    va_list args;

    va_start(args, format);
    (void)vsnprintf(notice.text, sizeof(notice.text), format, args);
    va_end(args);
    epx_ucx_note_heard(link, &notice);
}

bool epx_ucx_has_news(const epx_ucx_link *link)
{
    return link->heard_head != link->heard_tail || link->lost_head != link->lost_tail;
}

bool epx_ucx_hear(epx_link *base, epx_notice *notice_out)
{
    epx_ucx_link *link = (epx_ucx_link *)base;
    epx_notice notice = {.kind = EPX_NOTICE_LOST, .from = base->rank, .status = EPX_ERR_PEER_LOST};

    if (link->any_broken)
        epx_ucx_bury(link);
    /* What a rank said comes before its end. */
    if (link->heard_head != link->heard_tail) {
        *notice_out = link->heard[link->heard_head++ % EPX_UCX_MAX_HEARD];
        return true;
    }
    if (link->lost_head == link->lost_tail)
        return false;
    notice.rank = link->lost[link->lost_head++];
    (void)snprintf(notice.text, sizeof(notice.text), "rank %d is lost: %s", notice.rank,
                   link->api.ucs_status_string(link->peers[notice.rank].status));
    *notice_out = notice;
    return true;
}

/* An endpoint that works stays open, unused, until the link closes: UCX 1.13 aborts the process,
 * here or over there, when one is closed by force while its lanes are still being wired up. */
void epx_ucx_fail(epx_link *base, int32_t rank)
{
    epx_ucx_link *link = (epx_ucx_link *)base;
    epx_ucx_port *port;
    epx_ucx_ring *ring;

    if (rank < 0 || rank >= link->size || link->peers[rank].failed)
        return;
    link->peers[rank].failed = true;
    if (link->peers[rank].state == EPX_UCX_BROKEN)
        epx_ucx_drop(&link->peers[rank]);
    link->peers[rank].state = EPX_UCX_GONE;
    for (port = link->ports; port != NULL; port = port->next) {
        ring = epx_ucx_port_ring(port, rank);
        if (ring != NULL)
            epx_ucx_cancel(ring);
    }
}
