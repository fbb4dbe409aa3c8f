/* group.c - the star of a sub-group: addresses and fresh keys travel over the parent's gather. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comm/boot/alone.h"
#include "comm/boot/card.h"
#include "comm/boot/star.h"
#include "core/clock.h"
#include "core/mem.h"

typedef struct group_opening {
    epx_boot *parent; /* borrows */
    const int32_t *members;
    int32_t size, rank;
    uint32_t timeout_ms;
    epx_card card; /* the own one */
    uint8_t *all;  /* owns, [parent->size][EPX_CARD_BYTES] */
    int listen_fd; /* owns; -1: none */
} group_opening;

static epx_status check_members(const group_opening *g)
{
    int32_t i;

    if (g->size < 0 || g->size > g->parent->size)
        return epx_fail(EPX_ERR_INVALID, "group of %d ranks in a communicator of %d", g->size,
                        g->parent->size);
    if (g->size == 0)
        return EPX_OK;
    if (g->rank < 0 || g->rank >= g->size || g->members[g->rank] != g->parent->rank)
        return epx_fail(EPX_ERR_INVALID, "rank %d is not member %d of its group of %d",
                        g->parent->rank, g->rank, g->size);
    for (i = 0; i < g->size; i++)
        if (g->members[i] < 0 || g->members[i] >= g->parent->size)
            return epx_fail(EPX_ERR_INVALID, "member %d of a group is rank %d of %d", i,
                            g->members[i], g->parent->size);
    return EPX_OK;
}

/* Never fails: what went wrong is on the card, for everybody to know. */
static void prepare(group_opening *g)
{
    epx_status st = check_members(g);
    epx_addr where;

    epx_auth_random(g->card.key, EPX_KEY_BYTES);
    if (st == EPX_OK && g->size > 1 && g->rank == 0) {
        st = epx_addr_parse(g->parent->address, &where);
        if (st == EPX_OK)
            st = epx_card_listen(&where, &g->card, &g->listen_fd);
    }
    if (st != EPX_OK)
        epx_card_fail(&g->card, st);
}

static epx_status exchange_cards(group_opening *g, epx_allgather_fn gather, void *arg)
{
    uint8_t mine[EPX_CARD_BYTES];
    int rc;

    epx_card_write(&g->card, mine);
    rc = gather(arg, mine, sizeof(mine), g->all);
    epx_auth_wipe(mine, sizeof(mine));
    if (rc < 0)
        return (epx_status)rc; /* a gather of ours: it has spoken */
    if (rc != 0)
        return epx_fail(EPX_ERR_SYSTEM, "the gather of a group's addresses returned %d", rc);
    return epx_cards_check(g->all, g->parent->size, g->parent->rank, &g->card);
}

static epx_status open_star(const group_opening *g, epx_boot **boot_out)
{
    epx_star_config star = {.launcher = "split",
                            .interface = "",
                            .timeout_ms = g->timeout_ms,
                            .until_ns = epx_deadline(epx_clock_ns(), g->timeout_ms),
                            .listen_fd = g->listen_fd,
                            .num_targets = 1};
    const uint8_t *host = g->all + (size_t)g->members[0] * EPX_CARD_BYTES;
    epx_ident *ident = &star.ident;
    epx_addr target;
    epx_card card;
    epx_status st = epx_card_read(host, g->members[0], &card);

    if (st == EPX_OK)
        st = epx_card_address(&card, &target);
    if (st != EPX_OK)
        return st;
    star.targets = &target;
    memcpy(ident->key, card.key, EPX_KEY_BYTES);
    ident->claim = (epx_claim){.rank = g->rank,
                               .world_size = g->size,
                               .library = EPX_VERSION,
                               .wire = EPX_WIRE_VERSION,
                               .keyed = true};
    epx_auth_job_id(ident->key, star.launcher, ident->job_id);
    st = epx_star_open(&star, boot_out);
    epx_auth_wipe(&card, sizeof(card));
    epx_auth_wipe(ident, sizeof(*ident));
    return st;
}

static epx_status open_boot(const group_opening *g, epx_boot **boot_out)
{
    const epx_boot *parent = g->parent;
    epx_status st;

    if (g->size == 0) {
        *boot_out = NULL;
        return EPX_OK;
    }
    if (g->size == 1)
        return epx_alone_open("split", parent->address, parent->interface, boot_out);
    st = open_star(g, boot_out);
    if (st != EPX_OK)
        return st;
    (*boot_out)->keyed = parent->keyed; /* the key travelled over the parent */
    snprintf((*boot_out)->address, sizeof((*boot_out)->address), "%s", parent->address);
    snprintf((*boot_out)->interface, sizeof((*boot_out)->interface), "%s", parent->interface);
    return EPX_OK;
}

epx_status epx_boot_open_group(epx_boot *parent, epx_allgather_fn gather, void *arg,
                               const int32_t *members, int32_t size, int32_t rank,
                               uint32_t timeout_ms, epx_boot **boot_out)
{
    group_opening g = {.parent = parent,
                       .members = members,
                       .size = size,
                       .rank = rank,
                       .timeout_ms = timeout_ms,
                       .listen_fd = -1};
    size_t bytes = (size_t)parent->size * EPX_CARD_BYTES;
    epx_status st = epx_auth_init();

    if (st != EPX_OK)
        return st;
    g.all = epx_mem_alloc("cards of all ranks", 1, bytes);
    if (g.all == NULL)
        return EPX_ERR_NO_MEMORY;
    prepare(&g);
    st = exchange_cards(&g, gather, arg);
    if (st == EPX_OK)
        st = open_boot(&g, boot_out);
    if (g.listen_fd >= 0)
        close(g.listen_fd);
    epx_auth_wipe(g.all, bytes);
    epx_auth_wipe(&g.card, sizeof(g.card));
    epx_mem_free(g.all);
    return st;
}
