/* root.c - the driver: whose turn it is, when to yield, when to sleep. */
#include "comm/root.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "comm/communicator.h"
#include "core/clock.h"

#define HOUSEKEEPING_NS UINT64_C(1000000) /* boots and ends of sockets, while busy */
#define LONGEST_SLEEP_MS 50

uint64_t epx_root_now(const epx_root *root)
{
    return root->world != NULL ? epx_world_now(root->world) : epx_clock_ns();
}

void epx_root_enter(epx_root *root)
{
    atomic_fetch_add(&root->wanted, 1);
    pthread_mutex_lock(&root->lock);
    atomic_fetch_sub(&root->wanted, 1);
}

void epx_root_leave(epx_root *root)
{
    pthread_mutex_unlock(&root->lock);
}

void epx_root_add(epx_root *root, epx_work *work)
{
    work->active = true;
    work->next = root->works;
    root->works = work;
}

void epx_root_remove(epx_root *root, epx_work *work)
{
    epx_work **at = &root->works;

    while (*at != NULL && *at != work)
        at = &(*at)->next;
    if (*at != NULL)
        *at = work->next;
    work->active = false;
}

static void kick(epx_root *root)
{
    uint64_t one = 1;

    if (root->wake_fd >= 0 && write(root->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake already */
}

void epx_root_wake(epx_root *root)
{
    if (root->waiters > 0)
        pthread_cond_broadcast(&root->changed);
    else if (root->works != NULL && root->has_thread)
        kick(root);
}

/* ---- one turn ------------------------------------------------------------------------------- */

static void hear_link(epx_root *root, epx_link *link)
{
    epx_notice notice;

    while (link != NULL && link->ops->hear(link, &notice))
        epx_root_notice(root, &notice);
}

static bool hear_boots(epx_root *root)
{
    epx_notice notice;
    epx_comm *comm;
    bool did = false;

    for (comm = root->comms; comm != NULL; comm = comm->next) {
        if (comm->boot == NULL || comm->leaving)
            continue;
        did |= comm->boot->ops->step(comm->boot);
        while (comm->boot->ops->hear(comm->boot, &notice)) {
            if (notice.rank >= 0 && notice.rank < comm->size)
                notice.rank = comm->root_rank[notice.rank];
            if (notice.from >= 0 && notice.from < comm->size)
                notice.from = comm->root_rank[notice.from];
            epx_root_notice(root, &notice);
        }
    }
    return did;
}

static bool housekeeping(epx_root *root, uint64_t now)
{
    bool did = hear_boots(root);

    hear_link(root, root->near);
    hear_link(root, root->far);
    epx_root_check(root, now);
    root->next_housekeeping = now + HOUSEKEEPING_NS;
    return did;
}

bool epx_root_step(epx_root *root, uint64_t now)
{
    epx_work *work, *next;
    bool did = false;

    if (root->near != NULL)
        did |= root->near->ops->progress(root->near);
    if (root->far != NULL)
        did |= root->far->ops->progress(root->far);
    if (root->world != NULL || now >= root->next_housekeeping)
        did |= housekeeping(root, now);
    for (work = root->works; work != NULL && root->fault.status == EPX_OK; work = next) {
        next = work->next; /* a finished work leaves the list */
        did |= work->step(work, now);
    }
    return did;
}

/* ---- sleeping ------------------------------------------------------------------------------- */

static uint64_t next_deadline(const epx_root *root)
{
    uint64_t deadline = root->verdict_at;
    const epx_work *work;

    for (work = root->works; work != NULL; work = work->next)
        if (work->deadline < deadline)
            deadline = work->deadline;
    return deadline;
}

static bool arm_links(epx_root *root)
{
    bool quiet = root->near == NULL || root->near->ops->arm(root->near);

    return (root->far == NULL || root->far->ops->arm(root->far)) && quiet;
}

static void wake_links(epx_root *root)
{
    if (root->near != NULL)
        root->near->ops->woken(root->near);
    if (root->far != NULL)
        root->far->ops->woken(root->far);
}

static void sleep_simulated(epx_root *root)
{
    pthread_mutex_unlock(&root->lock);
    epx_world_wait(root->world, next_deadline(root));
    pthread_mutex_lock(&root->lock);
}

/* Waits for a descriptor, with the lock free. Only while armed: nothing has happened since. Another
 * thread may take the turn meanwhile; then the links are its affair. */
static void sleep_driver(epx_root *root)
{
    struct epoll_event events[8];
    uint64_t drained, turn = root->turn;
    int limit;

    if (root->world != NULL) {
        sleep_simulated(root);
        return;
    }
    if (!arm_links(root)) {
        wake_links(root);
        return;
    }
    limit = epx_deadline_left_ms(next_deadline(root), epx_root_now(root), LONGEST_SLEEP_MS);
    root->asleep = true;
    pthread_mutex_unlock(&root->lock);
    while (epoll_wait(root->epoll_fd, events, 8, limit) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&root->lock);
    if (root->turn != turn)
        return;
    root->asleep = false;
    if (read(root->wake_fd, &drained, sizeof(drained)) < 0)
        drained = 0; /* it was not that one */
    wake_links(root);
    root->next_housekeeping = 0;
    epx_record_grow(&root->record, EPX_COUNT_SLEEPS, 1);
}

/* ---- taking turns --------------------------------------------------------------------------- */

static void give_way(epx_root *root)
{
    pthread_mutex_unlock(&root->lock);
    sched_yield();
    pthread_mutex_lock(&root->lock);
}

/* One turn of the driver: step; without work yield, and after `spin` turns sleep. */
static void drive_once(epx_root *root)
{
    if (epx_root_step(root, epx_root_now(root))) {
        root->idle = 0;
        if (root->waiters > 0)
            pthread_cond_broadcast(&root->changed);
        if (root->world == NULL && (root->yield || atomic_load(&root->wanted) > 0))
            give_way(root);
        return;
    }
    if (root->fault.status != EPX_OK)
        return;
    if (root->world == NULL && ++root->idle <= root->spin) {
        give_way(root);
        return;
    }
    root->idle = 0;
    sleep_driver(root);
}

static void wait_changed(epx_root *root, uint64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    root->waiters++;
    pthread_cond_timedwait(&root->changed, &root->lock, &until);
    root->waiters--;
}

/* The turn is free, or its holder sleeps and will notice that it has lost it. */
static bool take_turn(epx_root *root)
{
    if (root->driving && !root->asleep)
        return false;
    if (root->driving)
        wake_links(root); /* in the sleeper's place */
    root->driving = true;
    root->asleep = false;
    root->turn++;
    return true;
}

/* One turn, unless somebody has taken it over while this thread slept. */
static void drive_turn(epx_root *root)
{
    uint64_t turn = root->turn;

    drive_once(root);
    if (root->turn == turn)
        root->driving = false;
}

epx_status epx_root_drive(epx_root *root, bool (*done)(void *arg), void *arg)
{
    root->callers++;
    root->idle = 0;
    while (!done(arg) && root->fault.status == EPX_OK) {
        if (take_turn(root))
            drive_turn(root);
        else
            wait_changed(root, LONGEST_SLEEP_MS);
    }
    root->callers--;
    epx_root_wake(root);
    return done(arg) ? EPX_OK : epx_root_fault(root);
}

/* ---- the progress thread -------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
    epx_root *root = arg;

    pthread_mutex_lock(&root->lock);
    while (!root->stop_thread) {
        if (root->callers == 0 && root->fault.status == EPX_OK && take_turn(root))
            drive_turn(root);
        else
            wait_changed(root, 2 * LONGEST_SLEEP_MS);
    }
    pthread_mutex_unlock(&root->lock);
    return NULL;
}

epx_status epx_root_start_thread(epx_root *root)
{
    int error = pthread_create(&root->thread, NULL, thread_main, root);

    if (error != 0)
        return epx_fail(EPX_ERR_SYSTEM, "progress thread: %s", strerror(error));
    root->has_thread = true;
    return EPX_OK;
}

void epx_root_stop_thread(epx_root *root)
{
    if (!root->has_thread)
        return;
    epx_root_enter(root);
    root->stop_thread = true;
    kick(root);
    pthread_cond_broadcast(&root->changed);
    epx_root_leave(root);
    pthread_join(root->thread, NULL);
    root->has_thread = false;
}
