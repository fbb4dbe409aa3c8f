/* shape.c - validation, slot positions, sizes. */
#include "comm/exchange/shape.h"

#include <string.h>

#include "comm/exchange/frame.h"
#include "comm/exchange/plan.h"
#include "comm/exchange/tally.h"
#include "comm/exchange/wire.h"
#include "core/env.h"
#include "core/mem.h"
#include "core/size.h"
#include "core/structs.h"

#define MAX_TOKENS (UINT64_C(1) << 26)
#define MAX_ROWS (UINT64_C(1) << 31) /* positions of pairs are 32 bits */
#define CONTROL_BYTES 4096
#define MAX_CHUNK_ROWS 4096
#define META_PAD 4 /* metadata starts on 4 bytes */

static epx_status check_sizes(const epx_exchange_config *cfg)
{
    if (cfg->max_tokens == 0 || cfg->max_tokens > MAX_TOKENS)
        return epx_fail(EPX_ERR_INVALID, "exchange: max_tokens %llu, expected 1 to %llu",
                        (unsigned long long)cfg->max_tokens, (unsigned long long)MAX_TOKENS);
    if (cfg->max_topk == 0 || cfg->max_topk > EPX_MAX_TOPK)
        return epx_fail(EPX_ERR_INVALID, "exchange: max_topk %u, expected 1 to %d", cfg->max_topk,
                        EPX_MAX_TOPK);
    if (cfg->num_experts < 1 || cfg->num_experts > EPX_MAX_EXPERTS)
        return epx_fail(EPX_ERR_INVALID, "exchange: %d experts, expected 1 to %d", cfg->num_experts,
                        EPX_MAX_EXPERTS);
    if (cfg->row_bytes == 0 || cfg->row_bytes > EPX_MAX_ROW_BYTES)
        return epx_fail(EPX_ERR_INVALID, "exchange: row_bytes %u, expected 1 to %d", cfg->row_bytes,
                        EPX_MAX_ROW_BYTES);
    if (cfg->scale_bytes > EPX_MAX_ROW_BYTES)
        return epx_fail(EPX_ERR_INVALID, "exchange: scale_bytes %u, expected 0 to %d",
                        cfg->scale_bytes, EPX_MAX_ROW_BYTES);
    if (cfg->layout > EPX_LAYOUT_EXPERT)
        return epx_fail(EPX_ERR_INVALID, "exchange: layout %u is unknown", cfg->layout);
    if (cfg->plan > EPX_PLAN_INTER_FIRST)
        return epx_fail(EPX_ERR_INVALID, "exchange: plan %u is unknown", cfg->plan);
    if (cfg->buffers > 16)
        return epx_fail(EPX_ERR_INVALID, "exchange: %u buffers, expected 0 to 16", cfg->buffers);
    if (cfg->max_recv_rows > MAX_ROWS)
        return epx_fail(EPX_ERR_OVERFLOW, "exchange: max_recv_rows %llu, at most %llu",
                        (unsigned long long)cfg->max_recv_rows, (unsigned long long)MAX_ROWS);
    return EPX_OK;
}

static epx_status fill_defaults(epx_shape *shape)
{
    epx_exchange_config *cfg = &shape->cfg;
    epx_plan plan = EPX_PLAN_AUTO;
    uint64_t verify, depth;
    epx_status st;

    shape->elem_bytes = epx_type_size((epx_type)cfg->combine_type);
    if (shape->elem_bytes == 0)
        return epx_fail(EPX_ERR_INVALID, "exchange: combine_type %u is unknown", cfg->combine_type);
    if (cfg->combine_elems == 0 && cfg->row_bytes % shape->elem_bytes != 0)
        return epx_fail(EPX_ERR_INVALID,
                        "exchange: row_bytes %u is no multiple of %zu: set combine_elems",
                        cfg->row_bytes, shape->elem_bytes);
    if (cfg->combine_elems == 0)
        cfg->combine_elems = (uint32_t)(cfg->row_bytes / shape->elem_bytes);
    if (cfg->combine_elems > EPX_MAX_ROW_BYTES)
        return epx_fail(EPX_ERR_INVALID, "exchange: combine_elems %u, at most %d",
                        cfg->combine_elems, EPX_MAX_ROW_BYTES);
    if (cfg->buffers == 0)
        cfg->buffers = 2;
    if (cfg->max_recv_rows == 0)
        cfg->max_recv_rows = cfg->max_tokens * cfg->max_topk * 5 / 4 + 1;
    st = epx_plan_parse(epx_env_text(EPX_ENV_PLAN), &plan);
    if (st == EPX_OK && cfg->plan == EPX_PLAN_AUTO)
        cfg->plan = (uint32_t)plan;
    if (st == EPX_OK)
        st = epx_env_number(EPX_ENV_VERIFY, 0, 1, &verify);
    if (st == EPX_OK)
        st = epx_env_number(EPX_ENV_DEPTH, 1, 64, &depth);
    if (st != EPX_OK)
        return st;
    shape->verify = verify != 0;
    shape->depth = (uint32_t)depth;
    return EPX_OK;
}

/* ---- slot positions ------------------------------------------------------------------------- */

static epx_status number_slots(epx_shape *shape)
{
    const epx_grid *grid = shape->grid;
    const epx_route *route = shape->route;
    size_t slots = (size_t)route->num_slots, own;
    int32_t place, position = 0, slot, i;

    shape->position_of = epx_mem_alloc("slot positions", slots, sizeof(int32_t));
    shape->position_rank = epx_mem_alloc("slot positions", slots, sizeof(int32_t));
    shape->node_begin = epx_mem_alloc("node slots", (size_t)grid->num_nodes + 1, sizeof(int32_t));
    shape->rank_begin = epx_mem_alloc("rank slots", (size_t)grid->num_ranks + 1, sizeof(int32_t));
    if (shape->position_of == NULL || shape->position_rank == NULL || shape->node_begin == NULL ||
        shape->rank_begin == NULL)
        return EPX_ERR_NO_MEMORY;
    for (place = 0; place < grid->num_ranks; place++) {
        int32_t rank = grid->order[place];

        if (grid->local_of[rank] == 0)
            shape->node_begin[grid->node_of[rank]] = position;
        shape->rank_begin[place] = position;
        for (slot = route->rank_begin[rank]; slot < route->rank_begin[rank + 1]; slot++) {
            shape->position_of[slot] = position;
            shape->position_rank[position++] = rank;
        }
    }
    shape->rank_begin[grid->num_ranks] = shape->node_begin[grid->num_nodes] = position;
    for (i = 0; i < grid->num_nodes; i++)
        if (epx_shape_slots(shape, i) > UINT16_MAX)
            return epx_fail(EPX_ERR_UNSUPPORTED, "exchange: node %d holds %d slots, at most %d", i,
                            epx_shape_slots(shape, i), UINT16_MAX);
    own = (size_t)epx_shape_slots(shape, shape->node);
    shape->slot_local = epx_mem_alloc("slot owners", own, sizeof(uint16_t));
    if (shape->slot_local == NULL)
        return EPX_ERR_NO_MEMORY;
    for (i = 0; i < (int32_t)own; i++)
        shape->slot_local[i] =
            (uint16_t)grid->local_of[shape->position_rank[shape->node_begin[shape->node] + i]];
    return EPX_OK;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static void size_rows(epx_shape *shape, epx_plan plan)
{
    const epx_exchange_config *cfg = &shape->cfg;
    bool side = cfg->side_channel != 0, positions = plan == EPX_PLAN_INTRA_FIRST;
    size_t value = plan == EPX_PLAN_FLAT ? sizeof(float) : shape->elem_bytes;
    uint32_t pairs = shape->pairs_per_token;

    shape->row_max[plan] =
        cfg->row_bytes + cfg->scale_bytes + epx_wire_meta_bytes(pairs, side, positions ? pairs : 0);
    shape->return_row_max[plan] =
        epx_align(cfg->combine_elems * value, 4) + (side ? pairs * sizeof(float) : 0);
}

static epx_status size_chunks(epx_shape *shape)
{
    size_t largest = 0, room;
    uint64_t chunk;
    epx_status st = epx_env_number(EPX_ENV_CHUNK_BYTES, 4096, 1 << 24, &chunk);
    int plan;

    if (st != EPX_OK)
        return st;
    for (plan = EPX_PLAN_FLAT; plan <= EPX_PLAN_INTER_FIRST; plan++) {
        size_rows(shape, (epx_plan)plan);
        if (shape->row_max[plan] > largest)
            largest = shape->row_max[plan];
        if (shape->return_row_max[plan] > largest)
            largest = shape->return_row_max[plan];
    }
    room = chunk - sizeof(epx_frame) - META_PAD;
    if (room < largest)
        room = largest;
    shape->slot_bytes = epx_align(room + sizeof(epx_frame) + META_PAD, EPX_SLOT_ALIGN);
    for (plan = EPX_PLAN_FLAT; plan <= EPX_PLAN_INTER_FIRST; plan++) {
        size_t row = 1;

        if (shape->row_max[plan] > row)
            row = shape->row_max[plan];
        if (shape->return_row_max[plan] > row)
            row = shape->return_row_max[plan];
        shape->chunk_rows[plan] =
            (uint32_t)(room / row < MAX_CHUNK_ROWS ? room / row : MAX_CHUNK_ROWS);
    }
    return EPX_OK;
}

/* ---- the window ----------------------------------------------------------------------------- */

/* Appends n x size bytes on a page boundary; false when the window would not fit. */
static bool append(size_t *at, size_t *offset_out, uint64_t n, size_t size)
{
    size_t bytes;

    *offset_out = *at;
    if (!epx_mul_size(n, size, &bytes) || !epx_add_size(*at, bytes, at) ||
        *at > (size_t)INT64_MAX - 4096)
        return false;
    *at = epx_align(*at, 64);
    return true;
}

static bool lay_out_sets(epx_shape *shape, size_t *at)
{
    const epx_exchange_config *cfg = &shape->cfg;
    epx_window_layout *w = &shape->window;
    uint64_t rows = cfg->max_recv_rows;
    size_t set = 0, outputs = 0, unused;
    bool fits = append(&set, &w->rows, rows, cfg->row_bytes) &&
                append(&set, &w->scales, rows, cfg->scale_bytes) &&
                append(&set, &w->pair_row, rows, sizeof(uint32_t)) &&
                append(&set, &w->pair_weight, rows, sizeof(float)) &&
                append(&set, &w->pair_side, cfg->side_channel ? rows : 0, sizeof(float)) &&
                append(&set, &w->row_source, rows, sizeof(uint32_t)) &&
                append(&set, &w->row_token, rows, sizeof(uint32_t)) &&
                append(&outputs, &unused, rows, cfg->combine_elems * shape->elem_bytes) &&
                append(&outputs, &w->output_side, cfg->side_channel ? rows : 0, sizeof(float));

    w->set_bytes = epx_align(set, 4096);
    w->output_set_bytes = epx_align(outputs, 4096);
    return fits && append(at, &w->sets, cfg->buffers, w->set_bytes) &&
           append(at, &w->outputs, cfg->buffers + 1, w->output_set_bytes);
}

/* Chunks that come back to a source through other members of its node (intra-first). */
static uint64_t count_return_chunks(const epx_shape *shape)
{
    uint64_t nodes = (uint64_t)shape->grid->num_nodes - 1, rows;

    if (nodes == 0 || !epx_shape_allows(shape, EPX_PLAN_INTRA_FIRST))
        return 0;
    if (nodes > shape->pairs_per_token)
        nodes = shape->pairs_per_token;
    rows = shape->cfg.max_tokens * nodes;
    return rows / shape->chunk_rows[EPX_PLAN_INTRA_FIRST] +
           (uint64_t)(shape->grid->num_ranks - shape->members);
}

static epx_status lay_out(epx_shape *shape)
{
    epx_window_layout *w = &shape->window;
    size_t at = 0;
    bool fits;

    shape->return_chunks = count_return_chunks(shape);
    fits = append(&at, &w->control, 1, CONTROL_BYTES) &&
           append(&at, &w->via, 2 * (uint64_t)shape->members, sizeof(uint32_t)) &&
           append(&at, &w->tallies, 2 * (uint64_t)shape->grid->num_ranks,
                  epx_shape_tally_bytes(shape, shape->node)) &&
           append(&at, &w->return_flags, shape->return_chunks, sizeof(uint32_t)) &&
           append(&at, &w->return_chunks_at, shape->return_chunks, shape->slot_bytes);
    at = epx_align(at, 4096);
    if (!fits || !lay_out_sets(shape, &at))
        return epx_fail(EPX_ERR_OVERFLOW,
                        "exchange: a window for %llu rows of %u bytes does not "
                        "fit 63 bits",
                        (unsigned long long)shape->cfg.max_recv_rows, shape->cfg.row_bytes);
    w->total = epx_align(at, 4096);
    return EPX_OK;
}

size_t epx_shape_tally_bytes(const epx_shape *shape, int32_t node)
{
    return epx_align(epx_tally_bytes(shape->grid->num_ranks, epx_grid_members(shape->grid, node),
                                     epx_shape_slots(shape, node)),
                     EPX_SLOT_ALIGN);
}

epx_status epx_shape_resize(epx_shape *shape, uint64_t max_recv_rows)
{
    uint64_t before = shape->cfg.max_recv_rows;
    epx_status st;

    if (max_recv_rows == 0 || max_recv_rows > MAX_ROWS)
        return epx_fail(EPX_ERR_OVERFLOW, "exchange: max_recv_rows %llu, expected 1 to %llu",
                        (unsigned long long)max_recv_rows, (unsigned long long)MAX_ROWS);
    shape->cfg.max_recv_rows = max_recv_rows;
    st = lay_out(shape);
    if (st != EPX_OK) {
        shape->cfg.max_recv_rows = before;
        (void)!lay_out(shape); /* it did fit before */
    }
    return st;
}

epx_status epx_shape_init(epx_shape *shape, const epx_comm *comm, const epx_exchange_config *cfg,
                          const epx_route *route)
{
    epx_status st;
    int32_t node;

    memset(shape, 0, sizeof(*shape));
    st = epx_struct_read("epx_exchange_config", cfg, &shape->cfg, sizeof(shape->cfg));
    if (st == EPX_OK)
        st = check_sizes(&shape->cfg);
    if (st != EPX_OK)
        return st;
    if (route->num_experts != shape->cfg.num_experts || route->world_size != comm->size)
        return epx_fail(EPX_ERR_INVALID,
                        "exchange: the route is for %d experts on %d ranks, "
                        "expected %d on %d",
                        route->num_experts, route->world_size, shape->cfg.num_experts, comm->size);
    shape->route = route;
    shape->grid = &comm->grid;
    shape->rank = comm->rank;
    shape->node = comm->grid.node_of[comm->rank];
    shape->local = comm->grid.local_of[comm->rank];
    shape->members = epx_grid_members(&comm->grid, shape->node);
    shape->pairs_per_token = shape->cfg.max_topk * (uint32_t)route->max_shards;
    if (shape->pairs_per_token > UINT8_MAX)
        return epx_fail(EPX_ERR_UNSUPPORTED,
                        "exchange: top-%u with %d shards is %u pairs a token, "
                        "at most %d",
                        shape->cfg.max_topk, route->max_shards, shape->pairs_per_token, UINT8_MAX);
    if (shape->cfg.max_tokens * shape->pairs_per_token > UINT32_MAX)
        return epx_fail(EPX_ERR_OVERFLOW, "exchange: %llu tokens of %u pairs do not fit 32 bits",
                        (unsigned long long)shape->cfg.max_tokens, shape->pairs_per_token);
    st = fill_defaults(shape);
    if (comm->root->world != NULL)
        shape->verify = true; /* simulated bits flip on purpose */
    if (st == EPX_OK)
        st = number_slots(shape);
    if (st == EPX_OK)
        st = size_chunks(shape);
    for (node = 0; node < comm->grid.num_nodes && st == EPX_OK; node++)
        if (epx_shape_tally_bytes(shape, node) > shape->max_tally_bytes)
            shape->max_tally_bytes = epx_shape_tally_bytes(shape, node);
    if (st == EPX_OK)
        st = lay_out(shape);
    if (st != EPX_OK)
        epx_shape_close(shape);
    return st;
}

void epx_shape_close(epx_shape *shape)
{
    epx_mem_free(shape->position_of);
    epx_mem_free(shape->position_rank);
    epx_mem_free(shape->node_begin);
    epx_mem_free(shape->rank_begin);
    epx_mem_free(shape->slot_local);
    memset(shape, 0, sizeof(*shape));
}
