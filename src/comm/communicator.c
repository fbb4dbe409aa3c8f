/* communicator.c - making and ending communicators. */
#include "comm/communicator.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "comm/boot/simboot.h"
#include "comm/crosscheck.h"
#include "comm/link/shm.h"
#include "comm/link/simlink.h"
#include "comm/link/ucx.h"
#include "comm/topo/node.h"
#include "core/clock.h"
#include "core/env.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/structs.h"

uint32_t epx_version(void)
{
    return EPX_VERSION;
}

/* ---- the root ------------------------------------------------------------------------------- */

static void root_close(epx_root *root)
{
    epx_root_stop_thread(root);
    if (root->far != NULL)
        root->far->ops->close(root->far);
    if (root->near != NULL)
        root->near->ops->close(root->near);
    epx_mesh_close(root->mesh);
    if (root->epoll_fd >= 0)
        close(root->epoll_fd);
    if (root->wake_fd >= 0)
        close(root->wake_fd);
    epx_record_close(&root->record);
    epx_grid_close(&root->grid);
    epx_mem_free(root->waits_for);
    pthread_mutex_destroy(&root->lock);
    pthread_cond_destroy(&root->changed);
    epx_mem_free(root);
}

static epx_status read_settings(epx_root *root, uint32_t timeout_ms)
{
    uint64_t timeout, spin, events;
    epx_status st = epx_env_number(EPX_ENV_TIMEOUT_MS, 10, 3600000, &timeout);

    if (st == EPX_OK)
        st = epx_env_number(EPX_ENV_SPIN, 0, 1000000000, &spin);
    if (st == EPX_OK)
        st = epx_env_number(EPX_ENV_RECORD, 0, 1 << 20, &events);
    if (st != EPX_OK)
        return st;
    root->timeout_ms = timeout_ms != 0 ? timeout_ms : (uint32_t)timeout;
    root->spin = (uint32_t)spin;
    return epx_record_init(&root->record, events);
}

static void init_locks(epx_root *root)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&root->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&root->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static epx_status root_new(epx_world *world, int32_t rank, int32_t size, uint32_t timeout_ms,
                           epx_root **root_out)
{
    epx_root *root = epx_mem_alloc("communicator root", 1, sizeof(*root));
    epx_status st;
    int32_t i;

    if (root == NULL)
        return EPX_ERR_NO_MEMORY;
    init_locks(root);
    root->world = world;
    root->rank = rank;
    root->size = size;
    root->epoll_fd = root->wake_fd = -1;
    root->verdict_at = EPX_NEVER;
    root->next_id = 1;
    st = read_settings(root, timeout_ms);
    root->waits_for = epx_mem_alloc("waiting ranks", (size_t)size, sizeof(int32_t));
    if (st == EPX_OK && root->waits_for == NULL)
        st = EPX_ERR_NO_MEMORY;
    if (st != EPX_OK) {
        root_close(root);
        return st;
    }
    for (i = 0; i < size; i++)
        root->waits_for[i] = -1;
    *root_out = root;
    return EPX_OK;
}

static epx_status watch(epx_root *root, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (fd >= 0 && epoll_ctl(root->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return epx_fail(EPX_ERR_SYSTEM, "epoll: cannot watch descriptor %d", fd);
    return EPX_OK;
}

static epx_status watch_all(epx_root *root, const epx_boot *boot)
{
    epx_link *links[2] = {root->near, root->far};
    int fds[EPX_LINK_MAX_FDS], count, i, l;
    epx_status st;

    root->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    root->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (root->epoll_fd < 0 || root->wake_fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "no descriptors left for epoll and eventfd");
    st = watch(root, root->wake_fd);
    if (st == EPX_OK)
        st = watch(root, boot->fd);
    for (l = 0; l < 2 && st == EPX_OK; l++) {
        count = links[l] != NULL ? links[l]->ops->fds(links[l], fds) : 0;
        for (i = 0; i < count && st == EPX_OK; i++)
            st = watch(root, fds[i]);
    }
    return st;
}

/* ---- links ---------------------------------------------------------------------------------- */

static epx_status open_near(epx_root *root)
{
    int32_t node = root->grid.node_of[root->rank];
    const int32_t *members = root->grid.order + root->grid.begin[node];

    if (root->world != NULL)
        return epx_sim_link_open(root->world, root->rank, true, &root->near);
    return epx_shm_open(root->rank, members, epx_grid_members(&root->grid, node), root->mesh,
                        root->timeout_ms, &root->near);
}

static uint64_t boot_id_hash(void)
{
    uint64_t hash = UINT64_C(1469598103934665603); /* FNV-1a */
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    unsigned char text[64];
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text)) : 0, i;

    if (fd >= 0)
        close(fd);
    for (i = 0; i < length; i++)
        hash = (hash ^ text[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Whether a rank of another node is on this very host, where UCX would find shared memory. */
static epx_status host_is_shared(epx_root *root, epx_boot *boot, bool *shared_out)
{
    uint64_t mine = boot_id_hash(), *all;
    epx_status st;
    int32_t i, j;

    all = epx_mem_alloc("boot ids", (size_t)root->size, sizeof(*all));
    if (all == NULL)
        return EPX_ERR_NO_MEMORY;
    st = epx_boot_allgather(boot, &mine, sizeof(mine), all, root->timeout_ms);
    *shared_out = false;
    for (i = 0; i < root->size; i++)
        for (j = 0; j < i; j++)
            *shared_out |= all[i] == all[j] && root->grid.node_of[i] != root->grid.node_of[j];
    epx_mem_free(all);
    return st;
}

static epx_status open_far(epx_root *root, epx_boot *boot)
{
    bool *near, shared;
    epx_status st;
    int32_t i;

    if (root->grid.num_nodes == 1)
        return EPX_OK;
    if (root->world != NULL)
        return epx_sim_link_open(root->world, root->rank, false, &root->far);
    st = host_is_shared(root, boot, &shared);
    if (st != EPX_OK)
        return st;
    near = epx_mem_alloc("near ranks", (size_t)root->size, sizeof(*near));
    if (near == NULL)
        return EPX_ERR_NO_MEMORY;
    for (i = 0; i < root->size; i++)
        near[i] = root->grid.node_of[i] == root->grid.node_of[root->rank];
    st = epx_ucx_open(boot, near, shared, root->timeout_ms, &root->far);
    epx_mem_free(near);
    return st;
}

/* ---- create --------------------------------------------------------------------------------- */

static epx_status comm_new(epx_root *root, epx_boot *boot, int32_t size, int32_t rank,
                           epx_comm **comm_out)
{
    epx_comm *comm = epx_mem_alloc("communicator", 1, sizeof(*comm));

    if (comm == NULL)
        return EPX_ERR_NO_MEMORY;
    comm->root_rank = epx_mem_alloc("rank table", (size_t)size, sizeof(int32_t));
    if (comm->root_rank == NULL) {
        epx_mem_free(comm);
        return EPX_ERR_NO_MEMORY;
    }
    comm->root = root;
    comm->boot = boot;
    comm->size = size;
    comm->rank = rank;
    *comm_out = comm;
    return EPX_OK;
}

static void comm_free(epx_comm *comm)
{
    epx_grid_close(&comm->grid);
    epx_mem_free(comm->root_rank);
    epx_mem_free(comm);
}

static epx_status find_nodes(epx_root *root, epx_comm *comm, const char *name, int32_t *keys)
{
    int32_t i;

    if (root->world == NULL)
        return epx_node_find(comm->boot, name, root->timeout_ms, keys, &root->mesh);
    for (i = 0; i < root->size; i++)
        keys[i] = epx_world_node_of(root->world, i);
    return EPX_OK;
}

static epx_status build_grids(epx_root *root, epx_comm *comm, const char *name)
{
    int32_t *keys = epx_mem_alloc("node keys", (size_t)root->size, sizeof(*keys));
    epx_status st;
    int32_t i;

    if (keys == NULL)
        return EPX_ERR_NO_MEMORY;
    st = find_nodes(root, comm, name, keys);
    if (st == EPX_OK)
        st = epx_grid_init(&root->grid, root->size, keys);
    if (st == EPX_OK)
        st = epx_grid_init(&comm->grid, root->size, keys);
    for (i = 0; i < root->size; i++)
        comm->root_rank[i] = i;
    epx_mem_free(keys);
    return st;
}

static bool crowded(const epx_root *root)
{
    int32_t node = root->grid.node_of[root->rank];
    cpu_set_t cpus;
    int cores = 1;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        cores = CPU_COUNT(&cpus);
    /* other nodes may be emulated on the same cores */
    return root->grid.num_nodes * epx_grid_members(&root->grid, node) >= cores;
}

static epx_status cross_check(epx_comm *comm)
{
    epx_root *root = comm->root;
    epx_field fields[4] = {{"EPX_TIMEOUT_MS", root->timeout_ms}};
    epx_status st = EPX_OK;
    uint64_t chunk = 0, depth = 0;

    st = epx_env_number(EPX_ENV_CHUNK_BYTES, 4096, 1 << 24, &chunk);
    if (st == EPX_OK)
        st = epx_env_number(EPX_ENV_DEPTH, 1, 64, &depth);
    fields[1] = (epx_field){"EPX_CHUNK_BYTES", chunk};
    fields[2] = (epx_field){"EPX_DEPTH", depth};
    fields[3] = (epx_field){"library version", EPX_VERSION};
    return epx_crosscheck(comm, "communicator", st, fields, 4);
}

/* Everything between an open boot and a communicator that works. */
static epx_status comm_build(epx_comm *comm, const char *node_name, uint32_t progress)
{
    epx_root *root = comm->root;
    epx_status st = build_grids(root, comm, node_name);

    if (st == EPX_OK)
        st = open_near(root);
    if (st == EPX_OK)
        st = open_far(root, comm->boot);
    if (st == EPX_OK && root->world == NULL)
        st = watch_all(root, comm->boot);
    if (st != EPX_OK)
        return st;
    root->yield = crowded(root);
    root->comms = comm;
    st = cross_check(comm);
    if (st == EPX_OK && root->world == NULL && progress != EPX_PROGRESS_CALLER)
        st = epx_root_start_thread(root);
    return st;
}

static epx_status choose_progress(uint32_t *progress)
{
    static const char *const names[] = {"thread", "caller"};
    size_t choice = 0;
    epx_status st = EPX_OK;

    if (*progress > EPX_PROGRESS_CALLER)
        return epx_fail(EPX_ERR_INVALID, "progress %u is unknown", *progress);
    if (*progress == EPX_PROGRESS_DEFAULT)
        st = epx_env_choice(EPX_ENV_PROGRESS, names, 2, &choice);
    if (*progress == EPX_PROGRESS_DEFAULT)
        *progress = choice == 0 ? EPX_PROGRESS_THREAD : EPX_PROGRESS_CALLER;
    return st;
}

static epx_status create(epx_world *world, epx_boot *boot, const char *node_name,
                         uint32_t timeout_ms, uint32_t progress, epx_comm **comm_out)
{
    epx_root *root;
    epx_comm *comm;
    epx_status st = root_new(world, boot->rank, boot->size, timeout_ms, &root);

    if (st != EPX_OK)
        goto err_boot;
    st = comm_new(root, boot, boot->size, boot->rank, &comm);
    if (st != EPX_OK)
        goto err_root;
    comm->is_root = true;
    st = comm_build(comm, node_name, progress);
    if (st != EPX_OK)
        goto err_comm;
    epx_log_set_rank(boot->rank);
    *comm_out = comm;
    return EPX_OK;

err_comm:
    root_close(root); /* its thread still sees the communicator */
    comm_free(comm);
    goto err_boot;
err_root:
    root_close(root);
err_boot:
    epx_boot_close(boot, false);
    return st;
}

epx_status epx_comm_create(const epx_comm_config *user, epx_comm **comm_out)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg)};
    epx_boot *boot;
    epx_status st = EPX_OK;

    if (comm_out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_comm_create: comm_out is NULL");
    if (user != NULL)
        st = epx_struct_read("epx_comm_config", user, &cfg, sizeof(cfg));
    if (st == EPX_OK)
        st = choose_progress(&cfg.progress);
    if (st != EPX_OK)
        return st;
    epx_env_warn_unknown();
    if (cfg.node == NULL)
        cfg.node = epx_env_text(EPX_ENV_NODE);
    st = epx_boot_open(&cfg, &boot);
    if (st != EPX_OK)
        return st;
    return create(NULL, boot, cfg.node, cfg.timeout_ms, cfg.progress, comm_out);
}

epx_status epx_comm_create_sim(epx_world *world, int32_t rank, epx_comm **comm_out)
{
    const epx_sim_config *cfg = epx_world_config(world);
    int32_t members[EPX_SIM_MAX_RANKS], i;
    epx_boot *boot;
    epx_status st;

    for (i = 0; i < cfg->ranks; i++)
        members[i] = i;
    st = epx_sim_boot_open(world, 0, members, cfg->ranks, rank, &boot);
    if (st != EPX_OK)
        return st;
    return create(world, boot, "", cfg->timeout_ms, EPX_PROGRESS_CALLER, comm_out);
}

/* ---- end ------------------------------------------------------------------------------------ */

static void unlink_comm(epx_root *root, epx_comm *comm)
{
    epx_comm **at = &root->comms;

    while (*at != NULL && *at != comm)
        at = &(*at)->next;
    if (*at != NULL)
        *at = comm->next;
}

void epx_comm_destroy(epx_comm *comm)
{
    epx_root *root;
    bool graceful;

    if (comm == NULL)
        return;
    root = comm->root;
    graceful = epx_comm_barrier(comm) == EPX_OK;
    epx_root_enter(root);
    if (comm->is_root)
        root->closing = true;
    comm->leaving = true;
    unlink_comm(root, comm);
    epx_root_leave(root);
    if (comm->is_root)
        root_close(root);
    epx_boot_close(comm->boot, graceful);
    comm_free(comm);
}

void epx_comm_abort(epx_comm *comm)
{
    uint64_t one = 1;

    if (comm == NULL)
        return;
    atomic_store(&comm->root->abort_asked, true);
    if (comm->root->wake_fd >= 0 && write(comm->root->wake_fd, &one, sizeof(one)) < 0)
        return; /* full: its reader is awake */
}

epx_status epx_comm_poll(epx_comm *comm)
{
    epx_root *root;
    epx_status st;

    if (comm == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_comm_poll: comm is NULL");
    root = comm->root;
    if (atomic_load(&root->fault_status) == EPX_OK && !atomic_load(&root->abort_asked))
        return EPX_OK;
    epx_root_enter(root);
    epx_root_check(root, epx_root_now(root));
    st = epx_root_fault(root);
    epx_root_leave(root);
    return st;
}

/* ---- who is where --------------------------------------------------------------------------- */

int32_t epx_comm_rank(const epx_comm *comm)
{
    return comm->rank;
}

int32_t epx_comm_size(const epx_comm *comm)
{
    return comm->size;
}

int32_t epx_comm_num_nodes(const epx_comm *comm)
{
    return comm->grid.num_nodes;
}

int32_t epx_comm_node_of(const epx_comm *comm, int32_t rank)
{
    return rank < 0 || rank >= comm->size ? -1 : comm->grid.node_of[rank];
}

const char *epx_comm_link_name(const epx_comm *comm, int32_t rank_a, int32_t rank_b)
{
    if (rank_a < 0 || rank_a >= comm->size || rank_b < 0 || rank_b >= comm->size)
        return "none";
    if (rank_a == rank_b)
        return "self";
    if (comm->grid.node_of[rank_a] == comm->grid.node_of[rank_b])
        return comm->root->world != NULL ? "sim" : "shm";
    return comm->root->far != NULL ? comm->root->far->ops->name : "none";
}
