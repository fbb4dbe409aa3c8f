/* open.c - from a configuration to an open boot: launcher, key, rank 0's address, then the star. */
#include "comm/boot/open.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comm/boot/alone.h"
#include "comm/boot/card.h"
#include "comm/boot/iface.h"
#include "comm/boot/job.h"
#include "comm/boot/key.h"
#include "comm/boot/launcher.h"
#include "comm/boot/pmix.h"
#include "comm/boot/star.h"
#include "core/clock.h"
#include "core/env.h"
#include "core/log.h"
#include "core/mem.h"

#define HOST_ADDRS 4 /* of one name */

typedef struct opening {
    const epx_comm_config *cfg; /* borrows */
    epx_launch launch;
    const char *interface; /* "" when not chosen */
    epx_addr chosen;       /* its address */
    epx_pmix *pmix;        /* owns */
    int own_listener;      /* owns; -1: none, or the job's */
    bool key_found;        /* in a file */
    epx_addr targets[HOST_ADDRS * EPX_LAUNCH_PORTS];
    epx_star_config star;
} opening;

/* ---- what this rank is ----------------------------------------------------------------------- */

static epx_status read_limits(opening *o)
{
    uint64_t timeout_ms = o->cfg->timeout_ms;
    epx_status st = EPX_OK;

    if (timeout_ms == 0)
        st = epx_env_number(EPX_ENV_TIMEOUT_MS, 1, UINT32_MAX, &timeout_ms);
    if (st != EPX_OK)
        return st;
    o->star.timeout_ms = (uint32_t)timeout_ms;
    o->star.until_ns = epx_deadline(epx_clock_ns(), timeout_ms);
    o->interface = o->cfg->interface;
    if (o->interface == NULL)
        o->interface = epx_env_text(EPX_ENV_INTERFACE);
    o->star.interface = o->interface;
    if (o->interface[0] == '\0')
        return EPX_OK;
    return epx_iface_address(o->interface, AF_UNSPEC, &o->chosen);
}

static epx_status ask_pmix(opening *o)
{
    epx_status st = epx_pmix_open(&o->pmix, &o->launch.rank, &o->launch.size);

    if (st == EPX_OK && o->launch.size == 1)
        o->launch.meet = EPX_MEET_ALONE;
    return st;
}

static epx_status find_launcher(opening *o)
{
    epx_status st =
        epx_launch_detect(o->cfg, epx_launch_has_pmix() && epx_pmix_usable(), &o->launch);

    if (st != EPX_OK)
        return st;
    if (o->launch.meet == EPX_MEET_PMIX) {
        st = ask_pmix(o);
        if (st == EPX_OK)
            return EPX_OK;
        epx_log(EPX_LOG_WARN, "PMIx is of no use: %s", epx_last_error());
        st = epx_launch_detect(o->cfg, false, &o->launch);
    }
    if (st == EPX_OK && strcmp(o->launch.name, "alone") == 0 && o->cfg->world_size == 0 &&
        epx_launch_has_pmix())
        return epx_fail(EPX_ERR_UNSUPPORTED,
                        "started by PMIx, but it cannot be used: libpmix.so.2 (package libpmix2) "
                        "is missing, epx was built without PMIx, or its server does not answer");
    return st;
}

static epx_status find_key(opening *o)
{
    epx_ident *ident = &o->star.ident;
    epx_status st;

    ident->claim.keyed = true;
    if (o->launch.meet == EPX_MEET_JOB) {
        memcpy(ident->key, o->cfg->job->key, EPX_KEY_BYTES);
        return EPX_OK;
    }
    st = epx_key_find(ident->key, &o->key_found);
    if (st != EPX_OK || o->key_found)
        return st;
    epx_auth_random(ident->key, EPX_KEY_BYTES); /* rank 0's, at least, is of use */
    if (o->launch.meet == EPX_MEET_CALLBACK || o->launch.meet == EPX_MEET_PMIX)
        return EPX_OK;
    ident->claim.keyed = false;
    return epx_key_missing(o->launch.rank);
}

/* ---- where rank 0 is ------------------------------------------------------------------------- */

static void meet_by_job(opening *o)
{
    o->star.listen_fd = o->cfg->job->listen_fd;
    o->targets[0] = o->cfg->job->address;
    o->star.num_targets = 1;
}

static epx_status listen_at_host(opening *o)
{
    const epx_launch *launch = &o->launch;
    epx_status st = EPX_OK;
    bool in_use, any_in_use = false;
    int i;

    for (i = 0; i < o->star.num_targets; i++) {
        st = epx_addr_listen(&o->targets[i], &o->own_listener, &in_use);
        if (st == EPX_OK) {
            o->star.listen_fd = o->own_listener;
            return EPX_OK;
        }
        any_in_use |= in_use;
    }
    if (any_in_use && launch->num_ports > 1)
        return epx_fail(EPX_ERR_SYSTEM, "cannot listen on %s: ports %u to %d are all taken",
                        launch->host, launch->port, launch->port + launch->num_ports - 1);
    return st;
}

static epx_status meet_at_address(opening *o)
{
    const epx_launch *launch = &o->launch;
    epx_addr addrs[HOST_ADDRS];
    int count, i, j, n = 0;
    epx_status st = epx_addr_resolve(launch->host, launch->port, addrs, HOST_ADDRS, &count);

    if (st != EPX_OK)
        return st;
    for (i = 0; i < launch->num_ports; i++)
        for (j = 0; j < count; j++) {
            o->targets[n] = addrs[j];
            epx_addr_set_port(&o->targets[n++], (uint16_t)(launch->port + i));
        }
    o->star.num_targets = n;
    o->star.search = launch->num_ports > 1;
    return launch->rank == 0 ? listen_at_host(o) : EPX_OK;
}

/* Rank 0's card tells where it listens; everybody's carries a key, of which rank 0's counts. */
static void prepare_card(opening *o, epx_card *card)
{
    epx_addr where = o->chosen;
    epx_status st = EPX_OK;

    memset(card, 0, sizeof(*card));
    epx_auth_random(card->key, EPX_KEY_BYTES);
    if (o->launch.rank != 0)
        return;
    if (o->interface[0] == '\0')
        st = epx_iface_outward(&where);
    if (st == EPX_OK)
        st = epx_card_listen(&where, card, &o->own_listener);
    o->star.listen_fd = o->own_listener;
    if (st != EPX_OK)
        epx_card_fail(card, st);
}

static epx_status use_card(opening *o, const uint8_t bytes[EPX_CARD_BYTES])
{
    epx_card card;
    epx_status st = epx_card_read(bytes, 0, &card);

    if (st != EPX_OK)
        return st;
    if (card.status != EPX_OK)
        return epx_fail(EPX_ERR_ABORTED, "rank 0 could not prepare: %s", card.text);
    if (!o->key_found)
        memcpy(o->star.ident.key, card.key, EPX_KEY_BYTES);
    o->star.num_targets = 1;
    return epx_card_address(&card, &o->targets[0]);
}

static epx_status meet_by_callback(opening *o)
{
    uint8_t mine[EPX_CARD_BYTES], *all;
    epx_card card;
    epx_status st;
    int rc;

    all = epx_mem_alloc("cards of all ranks", (size_t)o->launch.size, EPX_CARD_BYTES);
    if (all == NULL)
        return EPX_ERR_NO_MEMORY;
    prepare_card(o, &card);
    epx_card_write(&card, mine);
    rc = o->cfg->allgather(o->cfg->allgather_arg, mine, EPX_CARD_BYTES, all);
    if (rc != 0)
        st = epx_fail(EPX_ERR_SYSTEM, "rank %d: the caller's allgather returned %d", o->launch.rank,
                      rc);
    else
        st = epx_cards_check(all, o->launch.size, o->launch.rank, &card);
    if (st == EPX_OK)
        st = use_card(o, all);
    epx_auth_wipe(all, (size_t)o->launch.size * EPX_CARD_BYTES);
    epx_auth_wipe(&card, sizeof(card));
    epx_mem_free(all);
    return st;
}

static epx_status meet_by_pmix(opening *o)
{
    uint8_t bytes[EPX_CARD_BYTES];
    epx_card card;
    epx_status st;

    prepare_card(o, &card);
    epx_card_write(&card, bytes);
    st = epx_pmix_broadcast(o->pmix, bytes, sizeof(bytes), o->star.timeout_ms);
    if (st == EPX_OK && card.status != EPX_OK)
        st = epx_fail(card.status, "%s", card.text);
    if (st == EPX_OK)
        st = use_card(o, bytes);
    epx_auth_wipe(&card, sizeof(card));
    epx_auth_wipe(bytes, sizeof(bytes));
    return st;
}

static epx_status find_host(opening *o)
{
    switch (o->launch.meet) {
    case EPX_MEET_JOB:
        meet_by_job(o);
        return EPX_OK;
    case EPX_MEET_ADDRESS:
        return meet_at_address(o);
    case EPX_MEET_CALLBACK:
        return meet_by_callback(o);
    case EPX_MEET_PMIX:
        return meet_by_pmix(o);
    case EPX_MEET_ALONE:
        break;
    }
    return epx_fail(EPX_ERR_INVALID, "a world of one has nobody to meet");
}

/* ---- together -------------------------------------------------------------------------------- */

static epx_status open_alone(opening *o, epx_boot **boot_out)
{
    char number[EPX_ADDR_TEXT], name[64];
    epx_status st = EPX_OK;

    if (o->interface[0] == '\0')
        st = epx_iface_loopback(&o->chosen);
    if (st != EPX_OK)
        return st;
    epx_addr_number(&o->chosen, number, sizeof(number));
    epx_iface_name(&o->chosen, name, sizeof(name));
    return epx_alone_open(o->launch.name, number, o->interface[0] != '\0' ? o->interface : name,
                          boot_out);
}

static epx_status open_star(opening *o, epx_boot **boot_out)
{
    epx_ident *ident = &o->star.ident;
    epx_status st = find_key(o);

    if (st == EPX_OK)
        st = find_host(o);
    if (st != EPX_OK)
        return st;
    ident->claim.rank = o->launch.rank;
    ident->claim.world_size = o->launch.size;
    epx_auth_job_id(ident->claim.keyed ? ident->key : NULL, o->launch.identity, ident->job_id);
    o->star.launcher = o->launch.name;
    o->star.targets = o->targets;
    st = epx_star_open(&o->star, boot_out);
    if (st == EPX_OK)
        epx_log(EPX_LOG_INFO, "rank %d of %d by %s, on %s (%s), %s key", o->launch.rank,
                o->launch.size, o->launch.name, (*boot_out)->address,
                (*boot_out)->interface[0] != '\0' ? (*boot_out)->interface : "interface unknown",
                ident->claim.keyed ? "with" : "without");
    return st;
}

epx_status epx_boot_open_as(const epx_comm_config *cfg, uint32_t library, uint32_t wire,
                            epx_boot **boot_out)
{
    opening o = {.cfg = cfg, .own_listener = -1};
    epx_status st = epx_auth_init();

    o.star.listen_fd = -1;
    o.star.ident.claim.library = library;
    o.star.ident.claim.wire = wire;
    if (st == EPX_OK)
        st = read_limits(&o);
    if (st == EPX_OK)
        st = find_launcher(&o);
    if (st == EPX_OK)
        st = o.launch.meet == EPX_MEET_ALONE ? open_alone(&o, boot_out) : open_star(&o, boot_out);
    epx_pmix_close(o.pmix);
    if (o.own_listener >= 0)
        close(o.own_listener);
    epx_auth_wipe(&o.star.ident, sizeof(o.star.ident));
    return st;
}

epx_status epx_boot_open(const epx_comm_config *cfg, epx_boot **boot_out)
{
    return epx_boot_open_as(cfg, EPX_VERSION, EPX_WIRE_VERSION, boot_out);
}
