/* node.c - candidates by name or boot id, confirmed pair by pair, agreed by all.
 *
 * Three gathers: who claims to be where, the mesh's own, and which pairs could really map each
 * other's memory. All ranks hold the same claims and the same confirmations, so they compute the
 * same nodes. */
#include "comm/topo/node.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/memfd.h"

#define NAME_BYTES 64
#define PROOF_TAG UINT64_C(0x70726f6f66) /* of the memory that two candidates show each other */

static const char what[] = "node";

/* What each rank says of itself. */
typedef struct claim {
    int32_t status; /* epx_status of its preparations; anything but EPX_OK ends it for all */
    char name[NAME_BYTES];
    char boot_id[NAME_BYTES]; /* "" when the kernel does not tell */
    uint64_t proof;           /* what its memory holds */
} claim;

typedef struct finder {
    epx_boot *boot;
    uint32_t timeout_ms;
    claim mine;
    int proof_fd;     /* -1: none */
    void *proof_base; /* the own memory */
    claim *all;       /* [size] */
    int32_t *near;    /* [size] candidates: own rank included */
    int32_t num_near;
    size_t row_bytes;
    uint8_t *row;  /* [row_bytes] bit r: rank r's memory can be read here */
    uint8_t *rows; /* [size][row_bytes] */
    epx_mesh *mesh;
} finder;

static void read_boot_id(char *text)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return;
    n = read(fd, text, NAME_BYTES - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static epx_status make_proof(finder *f)
{
    epx_status st;

    if (getrandom(&f->mine.proof, sizeof(f->mine.proof), GRND_NONBLOCK) !=
        (ssize_t)sizeof(f->mine.proof))
        f->mine.proof = epx_clock_ns() ^ (uint64_t)getpid()
                                             << 40; /* tells ranks apart, no secret */
    st = epx_memfd_create(what, sizeof(uint64_t), &f->proof_fd);
    if (st != EPX_OK)
        return st;
    st = epx_memfd_map(what, f->proof_fd, sizeof(uint64_t), &f->proof_base);
    if (st == EPX_OK)
        memcpy(f->proof_base, &f->mine.proof, sizeof(uint64_t));
    return st;
}

static epx_status prepare(finder *f, const char *node_name)
{
    size_t size = (size_t)f->boot->size;

    if (strlen(node_name) >= NAME_BYTES)
        return epx_fail(EPX_ERR_INVALID,
                        "rank %d: its node name has %zu characters, at most %d fit", f->boot->rank,
                        strlen(node_name), NAME_BYTES - 1);
    snprintf(f->mine.name, NAME_BYTES, "%s", node_name);
    read_boot_id(f->mine.boot_id);
    f->near = epx_mem_alloc(what, size, sizeof(*f->near));
    f->row = epx_mem_alloc(what, 1, f->row_bytes);
    f->rows = epx_mem_alloc(what, size, f->row_bytes);
    if (f->near == NULL || f->row == NULL || f->rows == NULL)
        return EPX_ERR_NO_MEMORY;
    return make_proof(f);
}

/* A name is a node's name wherever ranks run; without one, the boot id is. Ranks of one name on
 * two hosts are no candidates: nothing could be mapped. */
static bool same_node_claimed(const claim *a, const claim *b)
{
    if (strncmp(a->name, b->name, NAME_BYTES) != 0)
        return false;
    return strncmp(a->boot_id, b->boot_id, NAME_BYTES) == 0;
}

static epx_status gather_claims(finder *f, epx_status prepared)
{
    int32_t rank;
    epx_status st;

    f->mine.status = prepared;
    st = epx_boot_allgather(f->boot, &f->mine, sizeof(f->mine), f->all, f->timeout_ms);
    if (prepared != EPX_OK)
        return prepared;
    if (st != EPX_OK)
        return st;
    for (rank = 0; rank < f->boot->size; rank++) {
        st = (epx_status)f->all[rank].status;
        if (st != EPX_OK)
            return epx_fail(st, "rank %d could not look for its node: %s", rank,
                            epx_status_text(st));
        if (same_node_claimed(&f->all[rank], &f->mine))
            f->near[f->num_near++] = rank;
    }
    return EPX_OK;
}

/* Takes the memory that `rank` shows and looks for the proof that it promised. */
static epx_status confirm(finder *f, int32_t rank, uint64_t until)
{
    void *base = NULL;
    epx_status st;
    bool equal;
    int fd = -1;

    st = epx_mesh_recv_fds(f->mesh, rank, PROOF_TAG, &fd, 1, until);
    if (st != EPX_OK)
        return st;
    st = epx_memfd_map(what, fd, sizeof(uint64_t), &base);
    close(fd);
    if (st != EPX_OK)
        return st;
    equal = memcmp(base, &f->all[rank].proof, sizeof(uint64_t)) == 0;
    epx_mem_release(base, sizeof(uint64_t));
    if (!equal)
        return epx_fail(EPX_ERR_MISMATCH, "what rank %d wrote cannot be read here", rank);
    return EPX_OK;
}

static void set_bit(uint8_t *row, int32_t rank)
{
    row[rank / 8] = (uint8_t)(row[rank / 8] | 1u << rank % 8);
}

/* A pair that fails is no error: containers and namespaces part what the boot id unites. Only
 * memory that this rank itself lacks is one; then the own bit stays unset and tells the others. */
static epx_status confirm_all(finder *f)
{
    uint64_t until = epx_deadline(epx_clock_ns(), f->timeout_ms);
    int32_t self = f->boot->rank, i;
    epx_status st, own = EPX_OK;

    for (i = 0; i < f->num_near; i++)
        if (f->near[i] != self && epx_mesh_fd(f->mesh, f->near[i]) >= 0 &&
            epx_mesh_send_fds(f->mesh, f->near[i], PROOF_TAG, &f->proof_fd, 1, until) != EPX_OK)
            epx_log(EPX_LOG_INFO, "showing memory to rank %d: %s", f->near[i], epx_last_error());
    for (i = 0; i < f->num_near; i++) {
        if (f->near[i] == self || epx_mesh_fd(f->mesh, f->near[i]) < 0)
            continue;
        st = confirm(f, f->near[i], until);
        if (st == EPX_OK)
            set_bit(f->row, f->near[i]);
        else
            epx_log(EPX_LOG_INFO, "memory of rank %d: %s", f->near[i], epx_last_error());
        if (st == EPX_ERR_NO_MEMORY)
            own = st;
    }
    if (own == EPX_OK)
        set_bit(f->row, self);
    return own;
}

static bool reads(const finder *f, int32_t a, int32_t b)
{
    return (f->rows[(size_t)a * f->row_bytes + (size_t)b / 8] >> b % 8 & 1) != 0;
}

static epx_status gather_rows(finder *f, epx_status own)
{
    epx_status st = epx_boot_allgather(f->boot, f->row, f->row_bytes, f->rows, f->timeout_ms);
    int32_t rank;

    if (own != EPX_OK)
        return epx_fail(own, "rank %d: no memory to look for its node", f->boot->rank);
    if (st != EPX_OK)
        return st;
    for (rank = 0; rank < f->boot->size; rank++)
        if (!reads(f, rank, rank))
            return epx_fail(EPX_ERR_NO_MEMORY, "rank %d had no memory to look for its node", rank);
    return EPX_OK;
}

/* True if `rank` and each member so far of node `key` read each other's memory. */
static bool fits(const finder *f, const int32_t *node_key, int32_t key, int32_t rank)
{
    int32_t other;

    for (other = key; other < rank; other++)
        if (node_key[other] == key && !(reads(f, other, rank) && reads(f, rank, other)))
            return false;
    return true;
}

/* The lowest rank without a node opens one and takes, ascending, whoever fits: a function of the
 * gathered rows alone, even where confirmations are not transitive. */
static void partition(const finder *f, int32_t *node_key)
{
    int32_t size = f->boot->size, key, rank;

    for (rank = 0; rank < size; rank++)
        node_key[rank] = -1;
    for (key = 0; key < size; key++) {
        if (node_key[key] >= 0)
            continue;
        node_key[key] = key;
        for (rank = key + 1; rank < size; rank++)
            if (node_key[rank] < 0 && fits(f, node_key, key, rank))
                node_key[rank] = key;
    }
}

/* The lowest rank of a claimed node speaks when it came out as several. */
static void report_split(const finder *f, const int32_t *node_key)
{
    const claim *mine = &f->mine;
    int32_t self = f->boot->rank, rank;

    for (rank = 0; rank < self; rank++)
        if (strncmp(f->all[rank].name, mine->name, NAME_BYTES) == 0 &&
            (mine->name[0] != '\0' || same_node_claimed(&f->all[rank], mine)))
            return;
    for (rank = self + 1; rank < f->boot->size; rank++) {
        if (strncmp(f->all[rank].name, mine->name, NAME_BYTES) != 0 || node_key[rank] == self)
            continue;
        if (mine->name[0] != '\0')
            epx_log(EPX_LOG_WARN,
                    "ranks %d and %d are both named node %s but cannot map each other's memory "
                    "(%s): they count as separate nodes",
                    self, rank, mine->name,
                    same_node_claimed(&f->all[rank], mine) ? "separate containers or namespaces"
                                                           : "different hosts");
        else if (same_node_claimed(&f->all[rank], mine))
            epx_log(EPX_LOG_INFO,
                    "ranks %d and %d share a host but cannot map each other's memory: they count "
                    "as separate nodes",
                    self, rank);
        else
            continue;
        return;
    }
}

static epx_status find(finder *f, const char *node_name, int32_t *node_key_out)
{
    epx_status st;

    st = gather_claims(f, prepare(f, node_name));
    if (st != EPX_OK)
        return st;
    st = epx_mesh_open(f->boot, f->near, f->num_near, f->timeout_ms, &f->mesh);
    if (st != EPX_OK)
        return st;
    st = gather_rows(f, confirm_all(f));
    if (st != EPX_OK)
        return st;
    partition(f, node_key_out);
    report_split(f, node_key_out);
    return EPX_OK;
}

static bool is_alone(const int32_t *node_key, int32_t size, int32_t rank)
{
    int32_t i;

    for (i = 0; i < size; i++)
        if (i != rank && node_key[i] == node_key[rank])
            return false;
    return true;
}

static void close_finder(finder *f)
{
    if (f->proof_fd >= 0)
        close(f->proof_fd);
    epx_mem_release(f->proof_base, sizeof(uint64_t));
    epx_mem_free(f->rows);
    epx_mem_free(f->row);
    epx_mem_free(f->near);
    epx_mem_free(f->all);
}

epx_status epx_node_find(epx_boot *boot, const char *node_name, uint32_t timeout_ms,
                         int32_t *node_key_out, epx_mesh **mesh_out)
{
    size_t size = (size_t)boot->size;
    finder f;
    epx_status st;

    memset(&f, 0, sizeof(f)); /* padding too: a claim travels as it is */
    f.boot = boot;
    f.timeout_ms = timeout_ms;
    f.proof_fd = -1;
    f.row_bytes = (size + 7) / 8;
    f.all = epx_mem_alloc(what, size, sizeof(*f.all));
    if (f.all == NULL)
        return EPX_ERR_NO_MEMORY;
    st = find(&f, node_name, node_key_out);
    if (st == EPX_OK && is_alone(node_key_out, boot->size, boot->rank)) {
        epx_mesh_close(f.mesh);
        f.mesh = NULL;
    }
    if (st == EPX_OK)
        *mesh_out = f.mesh;
    else
        epx_mesh_close(f.mesh);
    close_finder(&f);
    return st;
}
