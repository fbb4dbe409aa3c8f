/* launcher.c - reading the variables of the launchers. */
#include "comm/boot/launcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/boot/addr.h"
#include "comm/boot/hostlist.h"
#include "comm/boot/job.h"
#include "core/crc32c.h"
#include "core/env.h"

#define TORCH_PORT 29500 /* torchrun's own default */
/* Ports that are derived from a job's number: below the usual ephemeral range, which starts at
 * 32768. */
#define DERIVED_FIRST 20000u
#define DERIVED_COUNT 12000u

static bool is_set(const char *name)
{
    const char *text = getenv(name);

    return text != NULL && *text != '\0';
}

static const char *text_of(const char *name)
{
    return is_set(name) ? getenv(name) : "";
}

static epx_status number_of(const char *name, long low, long high, int32_t *value_out)
{
    const char *text = text_of(name);
    char *end = NULL;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < low || value > high)
        return epx_fail(EPX_ERR_INVALID, "%s is \"%.40s\", expected a number from %ld to %ld", name,
                        text, low, high);
    *value_out = (int32_t)value;
    return EPX_OK;
}

static epx_status rank_and_size(const char *rank_name, const char *size_name, epx_launch *launch)
{
    epx_status st = number_of(size_name, 1, EPX_MAX_RANKS, &launch->size);

    return st == EPX_OK ? number_of(rank_name, 0, launch->size - 1, &launch->rank) : st;
}

/* The port that EPX_PORT fixes, else num_ports from `first`. */
static epx_status ports(uint32_t first, int num_ports, epx_launch *launch)
{
    uint64_t port;
    epx_status st;

    launch->port = (uint16_t)first;
    launch->num_ports = num_ports;
    if (epx_env_text(EPX_ENV_PORT)[0] == '\0')
        return EPX_OK;
    st = epx_env_number(EPX_ENV_PORT, 1, 65535, &port);
    if (st != EPX_OK)
        return st;
    launch->port = (uint16_t)port;
    launch->num_ports = 1;
    return EPX_OK;
}

static epx_status derived_ports(epx_launch *launch)
{
    uint32_t hash = epx_crc32c(0, launch->identity, strlen(launch->identity));

    return ports(DERIVED_FIRST + hash % DERIVED_COUNT, EPX_LAUNCH_PORTS, launch);
}

static void set_host(epx_launch *launch, const char *host)
{
    launch->meet = EPX_MEET_ADDRESS;
    snprintf(launch->host, sizeof(launch->host), "%s", host);
}

/* ---- the launchers --------------------------------------------------------------------------- */

static epx_status read_torchrun(epx_launch *launch)
{
    int32_t port = TORCH_PORT;
    epx_status st = rank_and_size("RANK", "WORLD_SIZE", launch);

    if (st == EPX_OK && is_set("MASTER_PORT"))
        st = number_of("MASTER_PORT", 1, 65535 - EPX_LAUNCH_PORTS, &port);
    if (st != EPX_OK)
        return st;
    if (strlen(text_of("MASTER_ADDR")) >= sizeof(launch->host))
        return epx_fail(EPX_ERR_INVALID, "MASTER_ADDR has more than %zu characters",
                        sizeof(launch->host) - 1);
    set_host(launch, text_of("MASTER_ADDR"));
    snprintf(launch->identity, sizeof(launch->identity), "torchrun %d %.100s", port,
             text_of("TORCHELASTIC_RUN_ID"));
    return ports((uint32_t)port + 1, EPX_LAUNCH_PORTS, launch);
}

static epx_status read_slurm(epx_launch *launch)
{
    const char *tasks = is_set("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
    epx_status st = rank_and_size("SLURM_PROCID", tasks, launch);
    char host[256];

    if (st == EPX_OK)
        st = epx_hostlist_first(text_of("SLURM_STEP_NODELIST"), host, sizeof(host));
    if (st != EPX_OK)
        return st;
    set_host(launch, host);
    snprintf(launch->identity, sizeof(launch->identity), "slurm %.60s.%.60s",
             text_of(is_set("SLURM_JOB_ID") ? "SLURM_JOB_ID" : "SLURM_JOBID"),
             text_of(is_set("SLURM_STEP_ID") ? "SLURM_STEP_ID" : "SLURM_STEPID"));
    return derived_ports(launch);
}

static epx_status read_openmpi(epx_launch *launch)
{
    epx_status st = rank_and_size("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", launch);
    int32_t local = 0;

    if (st == EPX_OK && is_set("OMPI_COMM_WORLD_LOCAL_SIZE"))
        st = number_of("OMPI_COMM_WORLD_LOCAL_SIZE", 1, launch->size, &local);
    if (st != EPX_OK)
        return st;
    set_host(launch, local == launch->size ? "localhost" : ""); /* it does not tell another */
    snprintf(
        launch->identity, sizeof(launch->identity), "openmpi %.100s",
        text_of(is_set("OMPI_MCA_ess_base_jobid") ? "OMPI_MCA_ess_base_jobid" : "PMIX_NAMESPACE"));
    return derived_ports(launch);
}

static epx_status read_pmix(epx_launch *launch)
{
    launch->meet = EPX_MEET_PMIX;
    snprintf(launch->identity, sizeof(launch->identity), "pmix %.100s", text_of("PMIX_NAMESPACE"));
    return number_of("PMIX_RANK", 0, EPX_MAX_RANKS - 1, &launch->rank);
}

static epx_status read_alone(epx_launch *launch)
{
    int32_t size = 1;

    launch->size = 1;
    if (is_set("RANK") && is_set("WORLD_SIZE") &&
        number_of("WORLD_SIZE", 1, EPX_MAX_RANKS, &size) == EPX_OK && size > 1)
        return epx_fail(EPX_ERR_INVALID, "RANK and WORLD_SIZE (%d) are set, MASTER_ADDR is not",
                        size);
    return EPX_OK;
}

bool epx_launch_has_pmix(void)
{
    return is_set("PMIX_NAMESPACE") && is_set("PMIX_RANK");
}

static epx_status read_environment(bool with_pmix, epx_launch *launch)
{
    const char *name = "alone";
    epx_status (*reader)(epx_launch *) = read_alone;

    if (is_set("RANK") && is_set("WORLD_SIZE") && is_set("MASTER_ADDR")) {
        name = "torchrun";
        reader = read_torchrun;
    } else if (with_pmix && epx_launch_has_pmix()) {
        name = "pmix";
        reader = read_pmix;
    } else if (is_set("SLURM_PROCID") && is_set("SLURM_STEP_NODELIST")) {
        name = "slurm";
        reader = read_slurm;
    } else if (is_set("OMPI_COMM_WORLD_RANK") && is_set("OMPI_COMM_WORLD_SIZE")) {
        name = "openmpi";
        reader = read_openmpi;
    }
    snprintf(launch->name, sizeof(launch->name), "%s", name);
    return reader(launch);
}

/* ---- the caller ------------------------------------------------------------------------------ */

static epx_status check_explicit(const epx_comm_config *cfg)
{
    int ways = (cfg->job != NULL) + (cfg->allgather != NULL) + (cfg->address != NULL);

    if (cfg->world_size < 0 || cfg->world_size > EPX_MAX_RANKS)
        return epx_fail(EPX_ERR_INVALID, "world_size %d, expected at most %d", cfg->world_size,
                        EPX_MAX_RANKS);
    if (cfg->world_size > 0 && (cfg->rank < 0 || cfg->rank >= cfg->world_size))
        return epx_fail(EPX_ERR_INVALID, "rank %d of a world of %d", cfg->rank, cfg->world_size);
    if (ways > 1)
        return epx_fail(EPX_ERR_INVALID, "job, allgather and address exclude each other");
    if (cfg->world_size > 1 && ways == 0)
        return epx_fail(EPX_ERR_INVALID,
                        "world_size %d without job, allgather or address: how to meet?",
                        cfg->world_size);
    if (cfg->world_size == 0 && cfg->allgather != NULL)
        return epx_fail(EPX_ERR_INVALID, "allgather without world_size");
    if (cfg->world_size == 0 && cfg->rank != 0 && cfg->job == NULL)
        return epx_fail(EPX_ERR_INVALID, "rank %d without world_size", cfg->rank);
    return EPX_OK;
}

static epx_status explicit_job(const epx_comm_config *cfg, epx_launch *launch)
{
    if (cfg->job->magic != EPX_JOB_MAGIC)
        return epx_fail(EPX_ERR_INVALID, "job is not from epx_job_create(), or destroyed");
    if (cfg->world_size != 0 && cfg->world_size != cfg->job->world_size)
        return epx_fail(EPX_ERR_INVALID, "world_size %d, but the job was made for %d",
                        cfg->world_size, cfg->job->world_size);
    launch->size = cfg->job->world_size;
    launch->rank = cfg->rank;
    launch->meet = EPX_MEET_JOB;
    if (cfg->rank < 0 || cfg->rank >= launch->size)
        return epx_fail(EPX_ERR_INVALID, "rank %d of a job of %d", cfg->rank, launch->size);
    snprintf(launch->name, sizeof(launch->name), "fork");
    snprintf(launch->identity, sizeof(launch->identity), "fork");
    return EPX_OK;
}

/* Rank and size from the environment, rank 0's address from the caller. */
static epx_status explicit_address(const epx_comm_config *cfg, epx_launch *launch)
{
    epx_status st = EPX_OK;

    if (cfg->world_size > 0)
        snprintf(launch->name, sizeof(launch->name), "address");
    else
        st = read_environment(false, launch);
    if (st != EPX_OK)
        return st;
    if (cfg->world_size == 0 && launch->meet == EPX_MEET_ALONE)
        return epx_fail(EPX_ERR_INVALID, "address \"%.100s\" without rank and world_size",
                        cfg->address);
    launch->meet = EPX_MEET_ADDRESS;
    launch->num_ports = 1;
    snprintf(launch->identity, sizeof(launch->identity), "address");
    return epx_addr_split(cfg->address, launch->host, sizeof(launch->host), &launch->port);
}

static epx_status no_host(const epx_launch *launch)
{
    return epx_fail(EPX_ERR_UNSUPPORTED,
                    "Open MPI started rank %d of %d on several hosts and PMIx is not usable: "
                    "install libpmix2, set MASTER_ADDR, RANK and WORLD_SIZE, or use "
                    "epx_comm_create_mpi()",
                    launch->rank, launch->size);
}

epx_status epx_launch_detect(const epx_comm_config *cfg, bool with_pmix, epx_launch *launch_out)
{
    epx_launch launch;
    epx_status st = check_explicit(cfg);

    if (st != EPX_OK)
        return st;
    memset(&launch, 0, sizeof(launch));
    launch.rank = cfg->rank;
    launch.size = cfg->world_size;
    if (cfg->job != NULL) {
        st = explicit_job(cfg, &launch);
    } else if (cfg->allgather != NULL) {
        launch.meet = EPX_MEET_CALLBACK;
        snprintf(launch.name, sizeof(launch.name), "callback");
        snprintf(launch.identity, sizeof(launch.identity), "callback");
    } else if (cfg->address != NULL) {
        st = explicit_address(cfg, &launch);
    } else if (cfg->world_size > 0) {
        snprintf(launch.name, sizeof(launch.name), "alone");
    } else {
        st = read_environment(with_pmix, &launch);
    }
    if (st != EPX_OK)
        return st;
    if (launch.size == 1)
        launch.meet = EPX_MEET_ALONE;
    if (launch.meet == EPX_MEET_ADDRESS && launch.host[0] == '\0')
        return no_host(&launch);
    *launch_out = launch;
    return EPX_OK;
}
