/* What a user's function sees of its task: memory, failures, and where it is.
 *
 * The first failure counts and is never lost: once a task has one, mill_emit gives it back to
 * whoever still emits, so a function that ignores the status of mill_emit can't turn a failed try
 * into a good one. */
#include "task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *mill_task_alloc(mill_task *task, size_t size_bytes)
{
    return mill_arena_calloc(&task->scratch, 1, size_bytes);
}

void *mill_task_keep(mill_task *task, size_t size_bytes)
{
    return mill_arena_calloc(task->kept, 1, size_bytes);
}

rmq_slice mill_task_format(mill_task *task, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    char *text = NULL;
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len > 0)
        text = mill_arena_alloc(&task->scratch, (size_t)len + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text != NULL ? (rmq_slice){text, (size_t)len} : (rmq_slice){"", 0};
}

uint32_t mill_task_partition(const mill_task *task)
{
    return task->partition;
}

uint32_t mill_task_attempt(const mill_task *task)
{
    return task->attempt;
}

int64_t mill_task_batch_id(const mill_task *task)
{
    return task->control->batch_id;
}

void mill_task_set_note(mill_task *task, void *note)
{
    task->note = note;
}

rmq_status mill_task_fail(mill_task *task, const char *format, ...)
{
    if (task->status == RMQ_OK) {
        va_list arguments;
        va_start(arguments, format);
        task->status = rmq_error_setv(&task->err, RMQ_USER, format, arguments);
        va_end(arguments);
    }
    return RMQ_USER;
}

rmq_status mill_task_user_failed(mill_task *task, rmq_status status, const char *at)
{
    if (task->status == RMQ_OK && status == RMQ_NOMEM)
        task->status = rmq_error_set(&task->err, status, "memory ran out");
    else if (task->status == RMQ_OK)
        task->status =
            rmq_error_set(&task->err, RMQ_USER, "it returned %s", rmq_status_name(status));
    if (task->failed_at == NULL)
        task->failed_at = at;
    return task->status;
}

rmq_status mill_task_failed(mill_task *task, rmq_status status, const char *at)
{
    if (task->status != RMQ_OK)
        return task->status;
    if (task->err.status != status)
        rmq_error_set(&task->err, status, "it returned %s", rmq_status_name(status));
    task->status = status;
    task->failed_at = at;
    return status;
}

rmq_status mill_task_nomem(mill_task *task, const char *at)
{
    rmq_error_set(&task->err, RMQ_NOMEM, "memory ran out");
    return mill_task_failed(task, RMQ_NOMEM, at);
}

bool mill_task_cancelled(const mill_task *task)
{
    const mill_run_control *control = task->control;
    if (atomic_load_explicit(&control->stop, memory_order_relaxed))
        return true;
    return control->cancelled != NULL && __atomic_load_n(control->cancelled, __ATOMIC_RELAXED);
}

rmq_status mill_task_poll(mill_task *task)
{
    if (task->status != RMQ_OK || !mill_task_cancelled(task))
        return task->status;
    rmq_error_set(&task->err, RMQ_CANCELLED, "the run was cancelled");
    return mill_task_failed(task, RMQ_CANCELLED, NULL);
}
