/* Every command: its table entry. */
#ifndef MILL_CLI_COMMANDS_H
#define MILL_CLI_COMMANDS_H

#include "options.h"

extern const mill_command mill_command_consume;
extern const mill_command mill_command_produce;
extern const mill_command mill_command_topic_list;
extern const mill_command mill_command_topic_create;
extern const mill_command mill_command_topic_describe;
extern const mill_command mill_command_topic_delete;
extern const mill_command mill_command_broker;
extern const mill_command mill_command_checkpoint_show;
extern const mill_command mill_command_bench_read;
extern const mill_command mill_command_bench_send;
extern const mill_command mill_command_demo;
extern const mill_command mill_command_demo_job;

#endif
