/* ucx.c - opening the UCX link: start UCX, exchange addresses, all ranks or none. */
#include "comm/link/ucx.h"

#include <stdio.h>
#include <string.h>

#include "comm/link/ucx_link.h"
#include "comm/link/ucx_port.h"
#include "core/mem.h"
#include "core/size.h"

#define MAX_ADDRESS_BYTES (64 * 1024)

static const epx_link_ops ucx_ops = {
    .name = "ucx",
    .mapped = false,
    .port_open = epx_ucx_port_open,
    .port_close = epx_ucx_port_close,
    .reserve = epx_ucx_reserve,
    .put = epx_ucx_put,
    .peek = epx_ucx_peek,
    .release = epx_ucx_release,
    .drained = epx_ucx_drained,
    .window_open = epx_link_no_window,
    .window_close = epx_link_no_window_close,
    .ring = epx_link_no_ring,
    .progress = epx_ucx_progress,
    .arm = epx_ucx_arm,
    .fds = epx_ucx_fds,
    .woken = epx_ucx_woken,
    .hear = epx_ucx_hear,
    .tell = epx_ucx_tell,
    .fail = epx_ucx_fail,
    .close = epx_ucx_close,
};

/* What a rank says first: how its start went. */
typedef struct start_report {
    int32_t status; /* epx_status */
    uint32_t address_bytes;
} start_report;

static epx_status fill_link(epx_ucx_link *link, const epx_boot *boot, const bool *near_ranks)
{
    int32_t i;

    link->head.ops = &ucx_ops;
    link->head.rank = boot->rank;
    link->efd = -1;
    link->size = boot->size;
    link->hello =
        (epx_ucx_header){.magic = EPX_UCX_MAGIC, .kind = EPX_UCX_HELLO, .source = boot->rank};
    link->farewell = link->hello;
    link->farewell.kind = EPX_UCX_FAREWELL;
    link->peers = epx_mem_alloc("UCX peers", (size_t)boot->size, sizeof(*link->peers));
    link->lost = epx_mem_alloc("UCX lost ranks", (size_t)boot->size, sizeof(*link->lost));
    if (link->peers == NULL || link->lost == NULL)
        return EPX_ERR_NO_MEMORY;
    for (i = 0; i < boot->size; i++) {
        link->peers[i].link = link;
        link->peers[i].rank = i;
        link->peers[i].near = near_ranks[i];
    }
    return EPX_OK;
}

/* The largest address, or why there is none. */
static epx_status judge_reports(const start_report *reports, int32_t size, size_t *largest_out)
{
    size_t largest = 0;
    int32_t i;

    for (i = 0; i < size; i++) {
        if (reports[i].status != EPX_OK)
            return epx_fail(EPX_ERR_SYSTEM, "rank %d could not start UCX: %s", i,
                            epx_status_text((epx_status)reports[i].status));
        if (reports[i].address_bytes == 0 || reports[i].address_bytes > MAX_ADDRESS_BYTES)
            return epx_fail(EPX_ERR_MISMATCH, "rank %d has a UCX address of %u bytes", i,
                            reports[i].address_bytes);
        if (reports[i].address_bytes > largest)
            largest = reports[i].address_bytes;
    }
    *largest_out = largest;
    return EPX_OK;
}

static epx_status gather_addresses(epx_ucx_link *link, epx_boot *boot, const void *address,
                                   size_t bytes, size_t largest, uint32_t timeout_ms)
{
    unsigned char *mine;
    epx_status st;

    mine = epx_mem_alloc("own UCX address", 1, largest);
    link->addresses = epx_mem_alloc("UCX addresses", (size_t)boot->size, largest);
    if (mine == NULL || link->addresses == NULL) {
        epx_mem_free(mine);
        return EPX_ERR_NO_MEMORY;
    }
    link->address_bytes = largest;
    memcpy(mine, address, bytes);
    st = epx_boot_allgather(boot, mine, largest, link->addresses, timeout_ms);
    epx_mem_free(mine);
    return st;
}

/* Collective even where the start has failed with st: the others must hear it. */
static epx_status exchange(epx_ucx_link *link, epx_boot *boot, epx_status st, const void *address,
                           size_t bytes, start_report *reports, uint32_t timeout_ms)
{
    start_report mine = {.status = st, .address_bytes = (uint32_t)bytes};
    size_t largest = 0;
    char reason[512];
    epx_status told;

    (void)snprintf(reason, sizeof(reason), "%s", epx_last_error());
    told = epx_boot_allgather(boot, &mine, sizeof(mine), reports, timeout_ms);
    if (st != EPX_OK)
        return epx_fail(st, "%s", reason); /* whatever the gather added to it */
    if (told == EPX_OK)
        told = judge_reports(reports, boot->size, &largest);
    if (told != EPX_OK)
        return told;
    return gather_addresses(link, boot, address, bytes, largest, timeout_ms);
}

static epx_status open_link(epx_ucx_link *link, epx_boot *boot, const bool *near_ranks,
                            bool tcp_only, start_report *reports, uint32_t timeout_ms)
{
    ucp_address_t *address = NULL;
    size_t bytes = 0;
    epx_status st;

    st = fill_link(link, boot, near_ranks);
    if (st == EPX_OK)
        st = epx_ucx_start(link, boot, tcp_only, &address, &bytes);
    st = exchange(link, boot, st, address, bytes, reports, timeout_ms);
    if (address != NULL)
        link->api.ucp_worker_release_address(link->worker, address);
    return st;
}

epx_status epx_ucx_open(epx_boot *boot, const bool *near_ranks, bool tcp_only, uint32_t timeout_ms,
                        epx_link **link_out)
{
    start_report *reports;
    epx_ucx_link *link;
    epx_status st;

    if (boot->size < 1 || boot->size > EPX_UCX_MAX_RANKS)
        return epx_fail(EPX_ERR_UNSUPPORTED, "ucx: %d ranks, at most %d", boot->size,
                        EPX_UCX_MAX_RANKS);
    reports = epx_mem_alloc("UCX start reports", (size_t)boot->size, sizeof(*reports));
    link = epx_mem_alloc("UCX link", 1, sizeof(*link));
    if (reports == NULL || link == NULL)
        st = EPX_ERR_NO_MEMORY;
    else
        st = open_link(link, boot, near_ranks, tcp_only, reports, timeout_ms);
    epx_mem_free(reports);
    if (st != EPX_OK) {
        if (link != NULL)
            epx_ucx_close(&link->head);
        return st;
    }
    *link_out = &link->head;
    return EPX_OK;
}

epx_status epx_ucx_describe(epx_link *base, int32_t rank, char *text, size_t size)
{
    epx_ucx_link *link = (epx_ucx_link *)base;
    FILE *stream;

    if (rank < 0 || rank >= link->size || size == 0)
        return epx_fail(EPX_ERR_INVALID, "ucx: describing rank %d of %d in %zu bytes", rank,
                        link->size, size);
    if (!epx_ucx_reach(link, rank))
        return epx_ucx_fail_lost(&link->peers[rank]);
    stream = fmemopen(text, size, "w");
    if (stream == NULL)
        return epx_fail(EPX_ERR_NO_MEMORY, "ucx: no stream over %zu bytes", size);
    link->api.ucp_ep_print_info(link->peers[rank].ep, stream);
    fclose(stream);
    text[size - 1] = '\0';
    return EPX_OK;
}
