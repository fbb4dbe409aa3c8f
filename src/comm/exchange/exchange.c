/* exchange.c - making, growing and ending exchanges; what all their stages share. */
#include "comm/exchange/exchange.h"

#include <string.h>

#include "comm/crosscheck.h"
#include "comm/exchange/agree.h"
#include "comm/exchange/combine.h"
#include "comm/exchange/dispatch.h"
#include "comm/exchange/setup.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/structs.h"

void epx_exchange_ring(const epx_exchange *x)
{
    epx_link *near = x->root->near;
    int32_t l;

    for (l = 0; l < x->shape.members; l++)
        if (l != x->shape.local)
            near->ops->ring(
                near, epx_exchange_root_rank(x, epx_grid_rank(x->shape.grid, x->shape.node, l)));
}

int32_t epx_exchange_late_member(const epx_exchange *x, size_t counter, uint64_t sequence)
{
    int32_t l;

    for (l = 0; l < x->shape.members; l++) {
        const char *control = (const char *)epx_exchange_control(x, l);
        const atomic_uint_fast64_t *reached = (const void *)(control + counter);

        if (atomic_load_explicit(reached, memory_order_acquire) < sequence)
            return l;
    }
    return -1;
}

bool epx_exchange_broken(epx_exchange *x, epx_status status, int32_t rank)
{
    if (status == EPX_OK)
        return false;
    epx_root_fail(x->root, status, rank >= 0 ? epx_exchange_root_rank(x, rank) : -1, "%s",
                  epx_last_error());
    return true;
}

void epx_exchange_moved(epx_exchange *x, epx_work *work, uint64_t now)
{
    epx_control *own = epx_exchange_control(x, x->shape.local);

    if (work->active || work->deadline == EPX_NEVER)
        work->deadline = epx_deadline(now, x->root->timeout_ms);
    atomic_fetch_add_explicit(&own->moved, 1, memory_order_relaxed);
}

bool epx_exchange_members_moved(epx_exchange *x)
{
    uint64_t sum = 0;
    int32_t l;
    bool moved;

    for (l = 0; l < x->shape.members; l++)
        if (l != x->shape.local)
            sum += atomic_load_explicit(&epx_exchange_control(x, l)->moved, memory_order_relaxed);
    moved = sum != x->members_seen;
    x->members_seen = sum;
    return moved;
}

void epx_exchange_count_bytes(epx_exchange *x, const epx_port *port, size_t bytes)
{
    if (port->link->ops->mapped) {
        epx_record_grow(&x->root->record, EPX_COUNT_NEAR_BYTES, bytes);
        return;
    }
    x->net_bytes += bytes;
    epx_record_grow(&x->root->record, EPX_COUNT_FAR_BYTES, bytes);
    epx_record_grow(&x->root->record, EPX_COUNT_CHUNKS, 1);
}

uint64_t epx_exchange_net_bytes(const epx_exchange *x)
{
    return x->net_bytes;
}

/* ---- handles -------------------------------------------------------------------------------- */

epx_status epx_exchange_get_handle(epx_exchange *x, epx_handle **handle_out)
{
    epx_handle *h = x->free_handles;
    epx_status st;

    if (h != NULL)
        x->free_handles = h->next;
    if (h != NULL && h->room < epx_handle_room(&x->shape)) { /* made before the window grew */
        epx_handle_free(h);
        h = NULL;
    }
    if (h == NULL) {
        st = epx_handle_new(x, &x->shape, &h);
        if (st != EPX_OK)
            return st;
    }
    h->next = NULL;
    h->refs = 1;
    h->agreed = h->dispatched = false;
    h->status = EPX_OK;
    h->num_tokens = 0;
    h->pair_begin[0] = 0;
    x->live_handles++;
    *handle_out = h;
    return EPX_OK;
}

void epx_exchange_put_handle(epx_exchange *x, epx_handle *h)
{
    if (--h->refs != 0)
        return;
    x->live_handles--;
    h->next = x->free_handles;
    x->free_handles = h;
}

/* ---- create --------------------------------------------------------------------------------- */

static epx_status default_route(const epx_comm *comm, const epx_exchange_config *cfg,
                                epx_route **route_out)
{
    epx_route_config route = {
        .struct_size = sizeof(route), .world_size = comm->size, .num_experts = cfg->num_experts};

    return epx_route_create(&route, route_out);
}

/* The route to use, with a reference for the exchange. */
static epx_status take_route(const epx_comm *comm, const epx_exchange_config *user,
                             const epx_route *given, const epx_route **route_out)
{
    epx_exchange_config cfg;
    epx_route *made;
    epx_status st;

    if (given != NULL) {
        epx_route_retain(given);
        *route_out = given;
        return EPX_OK;
    }
    st = epx_struct_read("epx_exchange_config", user, &cfg, sizeof(cfg));
    if (st == EPX_OK)
        st = default_route(comm, &cfg, &made);
    if (st == EPX_OK)
        *route_out = made;
    return st;
}

/* Local part: no communication, so that all ranks reach the cross-check whatever fails. */
static epx_status prepare(epx_comm *comm, const epx_exchange_config *cfg, const epx_route *route,
                          epx_exchange **exchange_out)
{
    epx_exchange *x = epx_mem_alloc("exchange", 1, sizeof(*x));
    epx_status st;

    if (x == NULL)
        return EPX_ERR_NO_MEMORY;
    x->comm = comm;
    x->root = comm->root;
    st = take_route(comm, cfg, route, &x->route);
    if (st == EPX_OK)
        st = epx_shape_init(&x->shape, comm, cfg, x->route);
    if (st == EPX_OK)
        st = epx_exchange_tables(x);
    if (st == EPX_OK)
        st = epx_dispatch_init(x);
    if (st == EPX_OK)
        st = epx_combine_init(x);
    if (st != EPX_OK) {
        epx_exchange_free(x);
        return st;
    }
    *exchange_out = x;
    return EPX_OK;
}

static epx_status cross_check(epx_comm *comm, const epx_exchange *x, epx_status local)
{
    const epx_exchange_config *c = local == EPX_OK ? &x->shape.cfg : NULL;
    epx_field fields[] = {
        {"max_tokens", c != NULL ? c->max_tokens : 0},
        {"max_topk", c != NULL ? c->max_topk : 0},
        {"num_experts", c != NULL ? (uint64_t)c->num_experts : 0},
        {"row_bytes", c != NULL ? c->row_bytes : 0},
        {"scale_bytes", c != NULL ? c->scale_bytes : 0},
        {"combine_type", c != NULL ? c->combine_type : 0},
        {"combine_elems", c != NULL ? c->combine_elems : 0},
        {"layout", c != NULL ? c->layout : 0},
        {"plan", c != NULL ? c->plan : 0},
        {"side_channel", c != NULL ? c->side_channel : 0},
        {"buffers", c != NULL ? c->buffers : 0},
        {"max_recv_rows", c != NULL ? c->max_recv_rows : 0},
        {"EPX_CHUNK_BYTES", c != NULL ? x->shape.slot_bytes : 0},
        {"EPX_DEPTH", c != NULL ? x->shape.depth : 0},
        {"route epoch", c != NULL ? x->route->epoch : 0},
        {"slots of the route", c != NULL ? (uint64_t)x->route->num_slots : 0},
    };

    return epx_crosscheck(comm, "exchange", local, fields, sizeof(fields) / sizeof(fields[0]));
}

epx_status epx_exchange_create(epx_comm *comm, const epx_exchange_config *cfg,
                               const epx_route *route, epx_exchange **exchange_out)
{
    epx_exchange *x = NULL;
    epx_status st;

    if (comm == NULL || exchange_out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_exchange_create: NULL argument");
    st = prepare(comm, cfg, route, &x);
    st = cross_check(comm, x, st);
    if (st == EPX_OK)
        st = epx_exchange_connect(x);
    /* a rank that failed to connect tells the others, and nobody puts before all have opened */
    st = epx_crosscheck(comm, "exchange", st, NULL, 0);
    if (st != EPX_OK) {
        epx_exchange_free(x);
        return st;
    }
    *exchange_out = x;
    return EPX_OK;
}

static bool nothing_in_flight(const epx_exchange *x)
{
    return x->dispatch.phase == EPX_PHASE_IDLE && x->combine.phase == EPX_PHASE_IDLE;
}

void epx_exchange_destroy(epx_exchange *x)
{
    if (x == NULL)
        return;
    /* the others may still need what this rank's ports carry */
    (void)!epx_comm_barrier(x->comm);
    epx_root_enter(x->root);
    if (x->dispatch.work.active)
        epx_root_remove(x->root, &x->dispatch.work);
    if (x->combine.work.active)
        epx_root_remove(x->root, &x->combine.work);
    epx_exchange_disconnect(x);
    epx_root_leave(x->root);
    epx_exchange_free(x);
}

epx_status epx_exchange_grow(epx_exchange *x, uint64_t max_recv_rows)
{
    epx_field field = {"max_recv_rows", max_recv_rows};
    uint64_t before;
    epx_status st = EPX_OK;

    if (x == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_exchange_grow: exchange is NULL");
    if (!nothing_in_flight(x))
        st = epx_fail(EPX_ERR_BUSY, "epx_exchange_grow: an operation is in flight");
    before = x->shape.cfg.max_recv_rows;
    if (st == EPX_OK && max_recv_rows > before)
        st = epx_shape_resize(&x->shape, max_recv_rows);
    st = epx_crosscheck(x->comm, "epx_exchange_grow", st, &field, 1);
    if (st != EPX_OK) {
        (void)!epx_shape_resize(&x->shape, before); /* it did fit before */
        return st;
    }
    if (max_recv_rows <= before)
        return EPX_OK;
    st = epx_exchange_remap(x);
    return epx_crosscheck(x->comm, "epx_exchange_grow", st, NULL, 0);
}
