import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * Fills a topic by the official client and prints what it sent, one JSON object a line: Produce NAMESRV TOPIC.
 * Fields: msgId, bodyBase64, tags, keys, colour (a user property); absent ones are left out.
 */
public class Produce {
    static String json(String name, String value) {
        return value == null ? "" : ",\"" + name + "\":\"" + value + "\"";
    }

    static void print(Message message, String id) {
        System.out.println("{\"bodyBase64\":\"" + Base64.getEncoder().encodeToString(message.getBody()) + "\"" + json("msgId", id)
            + json("tags", message.getTags()) + json("keys", message.getKeys())
            + json("colour", message.getUserProperty("colour")) + "}");
    }

    static void send(DefaultMQProducer producer, Message message) throws Exception {
        byte[] body = message.getBody();
        SendResult result = producer.send(message);
        if (result.getSendStatus() != SendStatus.SEND_OK) {
            throw new IllegalStateException(result.toString());
        }
        message.setBody(body);
        print(message, result.getMsgId());
    }

    public static void main(String[] arguments) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("java_produce");
        producer.setNamesrvAddr(arguments[0]);
        String topic = arguments[1];
        producer.start();
        for (int i = 0; i < 200; i++) {
            Message message = new Message(topic, i % 3 == 0 ? "TagA" : i % 3 == 1 ? "TagB" : null, i % 2 == 0 ? "k" + i + " all" : null,
                ("plain " + i + " \u00e4\u00f6\u00fc \u4e2d\u6587 \ud83d\ude80").getBytes(StandardCharsets.UTF_8));
            if (i % 5 == 0) {
                message.putUserProperty("colour", "blue-" + i);
            }
            send(producer, message);
        }
        byte[] noise = new byte[256];
        for (int i = 0; i < noise.length; i++) {
            noise[i] = (byte) i;
        }
        send(producer, new Message(topic, noise));
        char[] big = new char[100000];
        Arrays.fill(big, 'z');
        send(producer, new Message(topic, "Big", "big", new String(big).getBytes(StandardCharsets.UTF_8))); // over 4 KiB: zlib
        byte[] huge = new byte[4 * 1024 * 1024 - 1000];
        new java.util.Random(7).nextBytes(huge);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        send(producer, new Message(topic, "Huge", "huge", huge));
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            batch.add(new Message(topic, "Batch", "b" + i, ("batch " + i).getBytes(StandardCharsets.UTF_8)));
        }
        String[] ids = producer.send(batch).getMsgId().split(",");
        for (int i = 0; i < ids.length; i++) {
            print(batch.get(i), ids[i]);
        }
        producer.shutdown();
    }
}
