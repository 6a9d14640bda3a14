import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * The official client, reading as its users read: Peer pull|push NAMESRV TOPIC SECONDS THREADS.
 * pull: DefaultMQPullConsumer, THREADS threads that share the queues, each pulling one queue after the other, from the
 * first message to the last, again and again. push: DefaultMQPushConsumer with a new group, 32 messages a callback.
 * After a warm-up of 3 s, in which the JVM compiles, prints what `millrace bench read --json` prints.
 */
public class Peer {
    static final LongAdder MESSAGES = new LongAdder();
    static final LongAdder BYTES = new LongAdder();
    static final int WARM_UP_MS = 3000;
    static volatile boolean over;
    static volatile Throwable failure;

    static void look(List<MessageExt> messages) {
        long bytes = 0;
        for (MessageExt message : messages) {
            bytes += message.getBody().length;
        }
        MESSAGES.add(messages.size());
        BYTES.add(bytes);
    }

    static void pullAll(DefaultMQPullConsumer consumer, List<MessageQueue> queues) {
        try {
            long[] next = new long[queues.size()];
            long[] end = new long[queues.size()];
            for (int i = 0; i < next.length; i++) {
                end[i] = consumer.maxOffset(queues.get(i));
            }
            while (!over) {
                for (int i = 0; i < next.length; i++) {
                    PullResult result = consumer.pull(queues.get(i), "*", next[i], 1024);
                    if (result.getMsgFoundList() != null) {
                        look(result.getMsgFoundList());
                    }
                    next[i] = result.getNextBeginOffset() >= end[i] ? 0 : result.getNextBeginOffset();
                }
            }
        } catch (Throwable error) {
            failure = over ? null : error;
        }
    }

    static void pull(String namesrv, String topic, int threads) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer("peer_pull");
        consumer.setNamesrvAddr(namesrv);
        consumer.start();
        List<MessageQueue> queues = new ArrayList<>(consumer.fetchSubscribeMessageQueues(topic));
        for (int i = 0; i < threads; i++) {
            List<MessageQueue> mine = new ArrayList<>();
            for (int j = i; j < queues.size(); j += threads) {
                mine.add(queues.get(j));
            }
            Thread thread = new Thread(() -> pullAll(consumer, mine));
            thread.setDaemon(true);
            thread.start();
        }
    }

    static void push(String namesrv, String topic) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("peer_push_" + System.nanoTime());
        consumer.setNamesrvAddr(namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.setPullBatchSize(1024);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            look(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    static long maxRssKiB() throws Exception {
        for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        return 0;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("pull")) {
            pull(arguments[1], arguments[2], Integer.parseInt(arguments[4]));
        } else {
            push(arguments[1], arguments[2]);
        }
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        while (MESSAGES.sum() == 0 && failure == null) {
            Thread.sleep(10);
        }
        Thread.sleep(WARM_UP_MS);
        long messages = MESSAGES.sum();
        long bytes = BYTES.sum();
        long cpu = system.getProcessCpuTime();
        long begin = System.nanoTime();
        long last = begin;
        long lastMessages = messages;
        long lastCpu = cpu;
        /* A push consumer does not read again: where the topic ends, the time ends, too. */
        while (last - begin < (long) (Double.parseDouble(arguments[3]) * 1e9)) {
            Thread.sleep(50);
            if (MESSAGES.sum() == lastMessages && System.nanoTime() - last > 1500000000L) {
                break;
            }
            if (MESSAGES.sum() != lastMessages) {
                last = System.nanoTime();
                lastMessages = MESSAGES.sum();
                lastCpu = system.getProcessCpuTime();
            }
        }
        if (failure != null) {
            failure.printStackTrace();
            System.exit(1);
        }
        System.out.println(String.format(java.util.Locale.ROOT,
            "{\"messages\":%d,\"bytes\":%d,\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"maxRssKiB\":%d}",
            lastMessages - messages, BYTES.sum() - bytes, (last - begin) / 1e9, (lastCpu - cpu) / 1e9, maxRssKiB()));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
