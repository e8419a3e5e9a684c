-- Whom steps may call: the guard's judgement of URLs, of addresses that names resolve to, and of the settings.
\set ON_ERROR_STOP 0
\pset format unaligned
create temp table hostile (url text);
copy hostile from stdin;
http://127.0.0.1/
http://127.0.0.1:8080/admin
http://127.1/
http://127.0.1/
http://127.255.255.254/
http://2130706433/
http://017700000001/
http://0x7f000001/
http://0x7f.0.0.1/
http://0x7f.1/
http://0177.0.0.1/
http://0177.0.0.01/
http://127.0.0.0x1/
http://0/
http://0.0.0.0/
http://0x0/
http://00000/
http://0.1.2.3/
http://%31%32%37.0.0.1/
HTTP://127.0.0.1/
hTTpS://127.0.0.1/
https://127.0.0.1:443/
http://10.0.0.1/
http://10.255.255.255/
http://167772161/
http://0x0a000001/
http://012.0.0.1/
http://172.16.0.1/
http://172.31.255.255/
http://2886729729/
http://192.168.0.1/
http://192.168.1.1:8443/
http://3232235521/
http://192.168.257/
http://100.64.0.1/
http://100.127.255.255/
http://169.254.0.1/
http://169.254.169.254/latest/meta-data/iam/security-credentials/
http://2852039166/
http://0xa9fea9fe/
http://0251.0376.0251.0376/
http://169.254.43518/
http://169.254.170.2/v2/credentials
http://169.254.170.23/
http://168.63.129.16/metadata/instance
http://100.100.100.200/latest/meta-data/
http://192.0.0.192/opc/v1/instance/
http://192.0.0.1/
http://192.0.2.1/
http://192.88.99.1/
http://198.18.0.1/
http://198.19.255.255/
http://198.51.100.7/
http://203.0.113.9/
http://224.0.0.1/
http://239.255.255.250:1900/
http://240.0.0.1/
http://255.255.255.255/
http://[::]/
http://[::1]/
http://[::1]:8080/
http://[0:0:0:0:0:0:0:1]/
http://[0000:0000:0000:0000:0000:0000:0000:0001]/
http://[::127.0.0.1]/
http://[::7f00:1]/
http://[::10.0.0.1]/
http://[::ffff:127.0.0.1]/
http://[::ffff:7f00:1]/
http://[::FFFF:10.0.0.1]/
http://[0:0:0:0:0:ffff:a00:1]/
http://[::ffff:169.254.169.254]/
http://[::ffff:a9fe:a9fe]/
http://[::ffff:0:127.0.0.1]/
http://[64:ff9b::127.0.0.1]/
http://[64:ff9b::a9fe:a9fe]/
http://[64:ff9b::10.0.0.1]/
http://[64:ff9b:1::1]/
http://[2002:7f00:1::]/
http://[2002:7f00:1::1]/
http://[2002:a00:1::1]/
http://[2002:a9fe:a9fe::]/
http://[2002:c0a8:101::1]/
http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/
http://[2001:0:7f00:1::]/
http://[2001:2::1]/
http://[2001:10::1]/
http://[2001:db8::1]/
http://[3fff::1]/
http://[fc00::1]/
http://[fd00::1]/
http://[fdff:ffff::1]/
http://[fd00:ec2::254]/latest/meta-data/
http://[fd20:ce::254]/
http://[fe80::1]/
http://[fe80::1%25eth0]/
http://[fe80::a9fe:a9fe]/
http://[febf::1]/
http://[fec0::1]/
http://[ff02::1]/
http://[ff0e::1]/
http://[100::1]/
http://[4000::1]/
http://[5f00::1]/
http://[2a00:1450::5efe:10.0.0.1]/
http://[2a00:1450::200:5efe:7f00:1]/
\.
select url, coalesce(flowforge.outbound_problem(url), 'ADMITTED') as problem from hostile;

-- URLs that are none, name nobody, have a user, or are of another scheme. How libcurl puts it is its business.
create temp table malformed (url text);
copy malformed from stdin;
http://[::1
http://[::1]x/
http://[::g]/
http://user@example.com/
http://user:password@example.com/
http://:password@example.com/
http://example.com@127.0.0.1/
http://example.com:80@127.0.0.1/
http://127.0.0.1@example.com/
http://example.com:0/
http://example.com:65536/
http://example.com:-1/
http://example.com:8o80/
file:///etc/passwd
file://127.0.0.1/etc/passwd
ftp://example.com/
ftps://example.com/
gopher://127.0.0.1:6379/_FLUSHALL
dict://127.0.0.1:11211/stats
ldap://127.0.0.1/
smb://127.0.0.1/share
scp://example.com/x
sftp://example.com/x
smtp://example.com/
imap://example.com/
pop3://example.com/
telnet://example.com/
tftp://example.com/x
mqtt://example.com/
rtsp://example.com/
ws://example.com/
javascript:alert(1)
data:text/plain,x
unix:/var/run/docker.sock
jar:http://example.com!/
//127.0.0.1/
//example.com/
example.com
127.0.0.1
http://
http:///
http://?
https://#
http:// example.com/
http://exa mple.com/
http://example.com /
http://127.0.0.1%2f@example.com/
http:127.0.0.1
http:/127.0.0.1/
http:///127.0.0.1/
\.
select url, flowforge.outbound_problem(url) is not null as refused from malformed;
select (select count(*) from hostile) + (select count(*) from malformed) >= 150 as enough;

-- Ports.
select url, flowforge.outbound_problem(url, '93.184.216.34') as problem from unnest(array['http://example.com:22/', 'http://example.com:25/', 'http://example.com:53/', 'http://example.com:110/', 'http://93.184.216.34:23/',
	'http://example.com:1023/', 'http://example.com:1024/', 'https://example.com:65535/']) url;

-- What is public is called, however it is written.
select url, flowforge.outbound_problem(url) as problem from unnest(array['http://example.com', 'https://example.com/a?b=c#d', 'HTTPS://EXAMPLE.COM:443/',
	'http://example.com:8080/', 'http://93.184.216.34/', 'http://1572395042/', 'http://11.0.0.1/', 'http://172.15.255.255/', 'http://172.32.0.1/', 'http://100.63.255.255/',
	'http://100.128.0.1/', 'http://198.17.255.255/', 'http://198.20.0.1/', 'http://223.255.255.255/', 'http://[2606:2800:220:1::1]/', 'http://[64:ff9b::8.8.8.8]/',
	'http://[2002:808:808::1]/', 'http://[::ffff:8.8.8.8]/', 'http://[2001:200::1]/', 'http://example.com/?next=http://127.0.0.1/', 'http://example.com/a@b', 'http://example.com#@127.0.0.1:99999/',
	'http://localhost.example.com/', 'http://127.0.0.1.example.com/']) url;

-- A name is judged by the address it has resolved to.
select address, flowforge.outbound_problem('https://rebound.example/', address) as problem
from unnest(array['93.184.216.34', '127.0.0.1', '10.1.2.3', '169.254.169.254', '::1', '::ffff:192.168.0.1', 'fd12::1', '2a00:1450::1', '0.0.0.0']) address;

-- What the settings permit: networks, hosts, ports.
create function pg_temp.allowed(url text, address text, allow text) returns boolean language sql as
'select flowforge.outbound_problem(url, address, allow, ''80,443,8000-8999'') is null';
select url, address, allow, pg_temp.allowed(url, address, allow) from (values
	('http://10.1.2.3/', null, '10.1.0.0/16'), ('http://10.2.2.3/', null, '10.1.0.0/16'), ('http://10.1.2.3:22/', null, '10.1.0.0/16'),
	('http://10.1.2.3:22/', null, '10.1.0.0/16:22'), ('http://10.1.2.3/', null, '10.1.0.0/16:22'), ('http://127.0.0.1:5000/', null, '127.0.0.1:5000'),
	('http://127.0.0.1:5001/', null, '127.0.0.1:5000'), ('http://127.0.0.2:5000/', null, '127.0.0.1:5000'), ('http://[::1]:5000/', null, '[::1]:5000'),
	('http://[::1]:8000/', null, ' 10.0.0.0/8 , ::1 ,, '), ('http://[::ffff:127.0.0.1]:5000/', null, '127.0.0.1:5000'),
	('http://vault.internal:8200/', '10.9.9.9', 'vault.internal'), ('http://VAULT.internal.:8200/', '10.9.9.9', 'Vault.Internal'),
	('http://vault.internal:9200/', '10.9.9.9', 'vault.internal'), ('http://vault.internal:9200/', '10.9.9.9', 'vault.internal:9200'),
	('http://x.vault.internal:8200/', '10.9.9.9', 'vault.internal'), ('http://localhost:8000/', '127.0.0.1', '127.0.0.1:8000'),
	('http://localhost:8000/', '::1', '127.0.0.1:8000'), ('http://localhost:8000/', '::1', 'localhost:8000'), ('http://10.1.2.3/', null, '0.0.0.0/0'),
	('http://[fd00::1]/', null, '0.0.0.0/0'), ('http://[fd00::1]/', null, 'fd00::/8'), ('http://user@10.1.2.3/', null, '10.0.0.0/8'),
	('ftp://10.1.2.3/', null, '10.0.0.0/8')) t(url, address, allow);

-- Settings that make no sense are refused.
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['10.0.0.0/33']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['10.0.0.1/8']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['300.1.1.1']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['a b']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['host:0']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['host:99999']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['[::1']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['http://host/']) allow;
select flowforge.outbound_problem('http://x/', null, allow) from unnest(array['*']) allow;
select flowforge.outbound_problem('http://x/', null, null, ports) from unnest(array['0']) ports;
select flowforge.outbound_problem('http://x/', null, null, ports) from unnest(array['90-80']) ports;
select flowforge.outbound_problem('http://x/', null, null, ports) from unnest(array['http']) ports;
select flowforge.outbound_problem('http://x/', null, null, ports) from unnest(array['1-2-3']) ports;
select flowforge.outbound_problem('http://x/', 'nowhere');
select flowforge.outbound_problem('http://x/', '10.0.0.0/8');
alter system set flowforge.outbound_allow = 'http://here';
alter system set flowforge.outbound_ports = '1-99999';
select flowforge.outbound_problem(null) is null as nothing, flowforge.outbound_problem('http://x:81/', null, null, '81') is null as this_port;
create role outbound_visitor;
set role outbound_visitor;
select flowforge.outbound_problem('http://127.0.0.1/');
show flowforge.outbound_allow;
reset role;
drop role outbound_visitor;
