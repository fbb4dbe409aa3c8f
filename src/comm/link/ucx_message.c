/* ucx_message.c - what the link says besides chunks: hello, credits, notices, farewell.
 *
 * All are active messages with the same header. They come from a socket that anyone may connect to:
 * nothing in them is used before it is checked. A message's memory stays untouched until UCX has
 * let go of it. */
#include <string.h>

#include "comm/link/ucx_link.h"
#include "comm/link/ucx_port.h"

#define MESSAGE_ID 1

static void hear_credit(epx_ucx_link *link, const epx_ucx_header *header)
{
    epx_ucx_port *port = link->ports;
    epx_ucx_ring *ring;

    while (port != NULL && port->head.config.id != header->port)
        port = port->next;
    if (port == NULL)
        return; /* closed meanwhile */
    ring = epx_ucx_port_ring(port, header->source);
    if (ring == NULL || header->count > ring->sent) {
        epx_ucx_note_corrupt(link, header->source, "rank %d credits chunk %llu of port %u",
                             header->source, (unsigned long long)header->count, header->port);
        return;
    }
    if (header->count > ring->credited)
        ring->credited = header->count;
}

static void hear_notice(epx_ucx_link *link, const void *data, size_t length)
{
    epx_notice notice;

    if (length != sizeof(notice))
        return;
    memcpy(&notice, data, sizeof(notice));
    notice.text[sizeof(notice.text) - 1] = '\0';
    if (notice.kind < EPX_NOTICE_LOST || notice.kind > EPX_NOTICE_VERDICT || notice.from < 0 ||
        notice.from >= link->size || notice.rank < -1 || notice.rank >= link->size)
        return;
    epx_ucx_note_heard(link, &notice);
}

static ucs_status_t on_message(void *arg, const void *bytes, size_t header_length, void *data,
                               size_t length, const ucp_am_recv_param_t *param)
{
    epx_ucx_link *link = arg;
    epx_ucx_header header;
    epx_ucx_peer *peer;

    if (header_length != sizeof(header) || (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0)
        return UCS_OK;
    memcpy(&header, bytes, sizeof(header));
    if (header.magic != EPX_UCX_MAGIC || header.source < 0 || header.source >= link->size)
        return UCS_OK;
    peer = &link->peers[header.source];
    peer->heard = true;
    if (peer->failed)
        return UCS_OK;
    if (header.kind == EPX_UCX_CREDIT)
        hear_credit(link, &header);
    else if (header.kind == EPX_UCX_NOTICE)
        hear_notice(link, data, length);
    else if (header.kind == EPX_UCX_FAREWELL)
        peer->farewell = true;
    return UCS_OK;
}

epx_status epx_ucx_listen(epx_ucx_link *link)
{
    ucp_am_handler_param_t param = {
        .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                      UCP_AM_HANDLER_PARAM_FIELD_ARG | UCP_AM_HANDLER_PARAM_FIELD_FLAGS,
        .id = MESSAGE_ID,
        .flags = UCP_AM_FLAG_WHOLE_MSG,
        .cb = on_message,
        .arg = link,
    };
    ucs_status_t status = link->api.ucp_worker_set_am_recv_handler(link->worker, &param);

    if (status != UCS_OK)
        return epx_fail(EPX_ERR_SYSTEM, "UCX: setting the message handler: %s",
                        link->api.ucs_status_string(status));
    return EPX_OK;
}

/* True if done(arg) will be called; false if the message is out already or never will be. */
static bool send_message(epx_ucx_peer *peer, const epx_ucx_header *header, const epx_notice *notice,
                         ucp_send_nbx_callback_t done, void *arg)
{
    epx_ucx_link *link = peer->link;
    ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS,
        .flags = UCP_AM_SEND_FLAG_EAGER,
        .cb.send = done,
        .user_data = arg,
    };
    ucs_status_ptr_t request =
        link->api.ucp_am_send_nbx(peer->ep, MESSAGE_ID, header, sizeof(*header), notice,
                                  notice == NULL ? 0 : sizeof(*notice), &param);

    if (request == NULL)
        return false;
    if (UCS_PTR_IS_ERR(request)) {
        epx_ucx_note_broken(link, peer->rank, UCS_PTR_STATUS(request));
        return false;
    }
    return true;
}

static void hello_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_peer *peer = arg;

    if (status != UCS_OK)
        epx_ucx_note_broken(peer->link, peer->rank, status);
    peer->link->api.ucp_request_free(request);
}

void epx_ucx_send_hello(epx_ucx_peer *peer)
{
    (void)send_message(peer, &peer->link->hello, NULL, hello_done, peer);
}

static void farewell_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_link *link = arg;

    (void)status; /* it was a courtesy */
    link->pending--;
    link->api.ucp_request_free(request);
}

void epx_ucx_send_farewell(epx_ucx_peer *peer)
{
    if (send_message(peer, &peer->link->farewell, NULL, farewell_done, peer->link))
        peer->link->pending++;
}

static void make_due(epx_ucx_link *link, epx_ucx_ring *ring)
{
    if (ring->is_due)
        return;
    ring->is_due = true;
    ring->next_due = link->due;
    link->due = ring;
}

static void credit_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_ring *ring = arg;
    epx_ucx_link *link = (epx_ucx_link *)ring->port->head.link;

    ring->crediting = false;
    ring->port->requests--;
    if (status != UCS_OK)
        epx_ucx_note_broken(link, ring->rank, status);
    else if (ring->told != ring->credit.count && !ring->port->closed)
        make_due(link, ring);
    link->api.ucp_request_free(request);
}

void epx_ucx_send_credit(epx_ucx_ring *ring)
{
    epx_ucx_link *link = (epx_ucx_link *)ring->port->head.link;
    epx_ucx_peer *peer = &link->peers[ring->rank];

    ring->told = ring->released;
    if (ring->crediting || !epx_ucx_reach(link, ring->rank))
        return; /* credit_done sends what is missing; nobody waits at a broken end */
    ring->credit = link->hello;
    ring->credit.kind = EPX_UCX_CREDIT;
    ring->credit.port = ring->port->head.config.id;
    ring->credit.count = ring->told;
    if (send_message(peer, &ring->credit, NULL, credit_done, ring)) {
        ring->crediting = true;
        ring->port->requests++;
    }
}

void epx_ucx_send_due(epx_ucx_link *link)
{
    epx_ucx_ring *ring = link->due, *next;

    link->due = NULL;
    for (; ring != NULL; ring = next) {
        next = ring->next_due;
        ring->is_due = false;
        epx_ucx_send_credit(ring);
    }
}

static void tell_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_told *told = arg;
    epx_ucx_link *link = told->link;

    (void)status; /* a broken endpoint reports itself */
    told->sends--;
    link->api.ucp_request_free(request);
}

void epx_ucx_tell(epx_link *base, const epx_notice *notice)
{
    epx_ucx_link *link = (epx_ucx_link *)base;
    epx_ucx_told *told = link->told;
    epx_ucx_peer *peer;

    while (told < link->told + EPX_UCX_MAX_TOLD && told->sends != 0)
        told++;
    if (told == link->told + EPX_UCX_MAX_TOLD)
        return;
    told->link = link;
    told->header = link->hello;
    told->header.kind = EPX_UCX_NOTICE;
    told->notice = *notice;
    for (peer = link->peers; peer < link->peers + link->size; peer++)
        if ((peer->ep != NULL || peer->heard) && peer->rank != link->head.rank &&
            epx_ucx_reach(link, peer->rank) &&
            send_message(peer, &told->header, &told->notice, tell_done, told))
            told->sends++;
}
