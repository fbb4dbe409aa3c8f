/* fault.c - the first fault, who is to blame for it, and how everybody hears of it.
 *
 * Ends of connections are losses at once. A deadline takes a round of questions first: the rank
 * that is overdue says whom it waits for, so do the others when they hear that; the culprit is the
 * rank at the end of the chain, which others wait for and which itself has said nothing. All ranks
 * have the same answers after GRACE, so they name the same one. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "comm/communicator.h"
#include "comm/root.h"
#include "core/clock.h"
#include "core/log.h"

#define GRACE_MS 200

/* To all ranks by all ways; they overlap, receivers keep the first. */
static void tell_all(epx_root *root, epx_notice *notice)
{
    epx_comm *comm;

    if (root->near != NULL)
        root->near->ops->tell(root->near, notice);
    if (root->far != NULL)
        root->far->ops->tell(root->far, notice);
    for (comm = root->comms; comm != NULL; comm = comm->next)
        if (comm->is_root && comm->boot != NULL && !comm->leaving)
            comm->boot->ops->tell(comm->boot, notice);
}

static void set_fault(epx_root *root, epx_status status, int32_t rank, const char *text)
{
    epx_event event = {.time_ns = epx_root_now(root),
                       .kind = EPX_EVENT_FAULT,
                       .peer = rank,
                       .value = (uint64_t)(int64_t)status};

    root->fault.status = status;
    root->fault.rank = rank;
    snprintf(root->fault.text, sizeof(root->fault.text), "%s", text);
    atomic_store(&root->fault_status, status);
    epx_record_add(&root->record, &event);
    epx_record_grow(&root->record, EPX_COUNT_FAULTS, 1);
    if (root->waiters > 0)
        pthread_cond_broadcast(&root->changed);
    if (rank >= 0 && root->far != NULL)
        root->far->ops->fail(root->far, rank);
}

void epx_root_fail(epx_root *root, epx_status status, int32_t rank, const char *format, ...)
{
    epx_notice notice = {
        .kind = EPX_NOTICE_ABORT, .from = root->rank, .rank = rank, .status = status};
    char text[sizeof(root->fault.text)];
    va_list args;

    if (root->fault.status != EPX_OK)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    set_fault(root, status, rank, text);
    snprintf(notice.text, sizeof(notice.text), "%.*s", (int)sizeof(notice.text) - 1, text);
    tell_all(root, &notice);
}

epx_status epx_root_fault(const epx_root *root)
{
    if (root->fault.status == EPX_OK)
        return EPX_OK;
    return epx_fail(root->fault.status, "%s", root->fault.text);
}

/* What this rank is doing: its first active work. */
static void describe(const epx_root *root, epx_waiting *out)
{
    *out = (epx_waiting){.rank = -1};
    if (root->works != NULL)
        root->works->waiting(root->works, out);
}

static void say_waiting(epx_root *root, const epx_waiting *waiting)
{
    epx_notice notice = {.kind = EPX_NOTICE_WAITING,
                         .from = root->rank,
                         .rank = waiting->rank,
                         .status = EPX_ERR_TIMEOUT};

    if (root->waits_for[root->rank] == waiting->rank)
        return;
    root->waits_for[root->rank] = waiting->rank;
    snprintf(notice.text, sizeof(notice.text), "%s", waiting->what);
    tell_all(root, &notice);
}

static void hear_waiting(epx_root *root, const epx_notice *notice)
{
    epx_waiting waiting;

    if (notice->from < 0 || notice->from >= root->size)
        return;
    root->waits_for[notice->from] = notice->rank;
    describe(root, &waiting);
    if (waiting.rank >= 0)
        say_waiting(root, &waiting);
}

void epx_root_notice(epx_root *root, const epx_notice *notice)
{
    epx_waiting waiting;

    if (root->fault.status != EPX_OK)
        return;
    switch (notice->kind) {
    case EPX_NOTICE_LOST:
        if (root->closing || notice->rank == root->rank)
            return;
        describe(root, &waiting);
        epx_root_fail(root, EPX_ERR_PEER_LOST, notice->rank, "rank %d was lost%s%s", notice->rank,
                      waiting.what[0] != '\0' ? " during " : "", waiting.what);
        break;
    case EPX_NOTICE_ABORT:
        if (root->closing)
            return;
        epx_log(EPX_LOG_INFO, "rank %d gave up: %.175s", notice->from, notice->text);
        set_fault(root, (epx_status)notice->status, notice->rank, notice->text);
        break;
    case EPX_NOTICE_WAITING:
        hear_waiting(root, notice);
        break;
    case EPX_NOTICE_VERDICT:
        epx_root_fail(root, EPX_ERR_TIMEOUT, notice->rank, "%.175s", notice->text);
        break;
    default:
        break;
    }
}

/* The end of the chain of who waits for whom; a circle ends where it closes. */
static int32_t culprit(const epx_root *root)
{
    int32_t rank = root->overdue.rank, steps;

    for (steps = 0; steps < root->size && rank >= 0 && root->waits_for[rank] >= 0; steps++)
        rank = root->waits_for[rank];
    return rank;
}

static void verdict(epx_root *root)
{
    int32_t rank = culprit(root);

    if (rank < 0)
        epx_root_fail(root, EPX_ERR_TIMEOUT, -1, "no progress for %u ms in %s", root->timeout_ms,
                      root->overdue.what);
    else
        epx_root_fail(root, EPX_ERR_TIMEOUT, rank,
                      "rank %d made no progress for %u ms; rank %d was in %s", rank,
                      root->timeout_ms, root->rank, root->overdue.what);
}

void epx_root_check(epx_root *root, uint64_t now)
{
    epx_work *work;

    if (root->fault.status != EPX_OK)
        return;
    if (atomic_load(&root->abort_asked)) {
        epx_root_fail(root, EPX_ERR_ABORTED, -1, "rank %d aborted the communicator", root->rank);
        return;
    }
    if (now >= root->verdict_at) {
        verdict(root);
        return;
    }
    for (work = root->works; work != NULL; work = work->next)
        if (now >= work->deadline && root->verdict_at == EPX_NEVER) {
            work->waiting(work, &root->overdue);
            say_waiting(root, &root->overdue);
            root->verdict_at = epx_deadline(now, GRACE_MS);
        }
}
