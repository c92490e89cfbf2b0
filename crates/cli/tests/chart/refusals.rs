//! Values that are wrong are refused, with their path.

use super::*;

#[test]
fn values_that_are_not_known_or_of_the_wrong_kind_are_named() {
    let table = [
        (
            "cluster.nam=x",
            "at '/cluster': additional properties 'nam' not allowed",
        ),
        (
            "clusterMesh.useAPIServer=true",
            "additional properties 'clusterMesh' not allowed",
        ),
        (
            "clustermesh.apiserver.kvstoremesh.enabled=true",
            "at '/clustermesh/apiserver/kvstoremesh': additional properties 'enabled'",
        ),
        (
            "cluster.id=one",
            "at '/cluster/id': got string, want integer",
        ),
        (
            "cluster.id=512",
            "at '/cluster/id': maximum: got 512, want 511",
        ),
        ("cluster.id=-1", "at '/cluster/id': minimum: got -1, want 0"),
        ("cluster.name=Cluster", "at '/cluster/name'"),
        (
            "cluster.name=a23456789012345678901234567890123",
            "at '/cluster/name'",
        ),
        (
            "clustermesh.maxConnectedClusters=300",
            "at '/clustermesh/maxConnectedClusters': value must be one of 255, 511",
        ),
        (
            "clustermesh.apiserver.service.type=NodePrt",
            "at '/clustermesh/apiserver/service/type': value must be one of 'LoadBalancer', 'NodePort', 'ClusterIP'",
        ),
        (
            "clustermesh.apiserver.service.nodePort=80",
            "at '/clustermesh/apiserver/service/nodePort'",
        ),
        (
            r#"clustermesh.apiserver.service.externalEndpoints=["192.0.2.1"]"#,
            "at '/clustermesh/apiserver/service/externalEndpoints/0'",
        ),
        (
            "loadBalancer.algorithm=roundrobin",
            "at '/loadBalancer/algorithm': value must be one of 'random', 'maglev'",
        ),
        (
            "maglev.tableSize=1000",
            "at '/maglev/tableSize': value must be one of 251",
        ),
        ("maglev.hashSeed=", "at '/maglev/hashSeed'"),
        ("dns.service=kube-dns", "at '/dns/service'"),
        (
            "kubeProxyReplacementHealthzBindAddr=10256",
            "at '/kubeProxyReplacementHealthzBindAddr'",
        ),
        ("dns.clusterDomain=Cluster.local", "at '/dns/clusterDomain'"),
        (
            "routingMode=geneve",
            "at '/routingMode': value must be one of 'tunnel', 'native'",
        ),
        ("tunnelProtocol=geneve", "at '/tunnelProtocol'"),
        (
            "encryption.enabled=true",
            "at '/encryption/enabled': value must be false",
        ),
        (
            r#"ipam.operator.clusterPoolIPv4PodCIDRList=["10.0.0.0"]"#,
            "at '/ipam/operator/clusterPoolIPv4PodCIDRList/0'",
        ),
        (
            "ipam.operator.clusterPoolIPv4PodCIDRList=10.0.0.0/8",
            "got string, want array",
        ),
        ("ipam.mode=kubernetes", "at '/ipam/mode'"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy'"),
        ("cni.binPath=opt", "at '/cni/binPath'"),
        ("MTU=100", "at '/MTU'"),
        ("operator.replicas=0", "at '/operator/replicas'"),
        (
            "resources.requests.memory=much",
            "at '/resources/requests/memory'",
        ),
        (r#"extraEnv=[{"nme":"A"}]"#, "at '/extraEnv/0'"),
        (
            r#"clustermesh.config.clusters=[{"address":"c2.example"}]"#,
            "at '/clustermesh/config/clusters/0': missing property 'name'",
        ),
        (
            r#"clustermesh.config.clusters=[{"name":"c2","tls":{"cert":"-----BEGIN"}}]"#,
            "at '/clustermesh/config/clusters/0/tls/cert'",
        ),
    ];
    for (value, expected) in table {
        let said = refused(&[value]);
        assert!(said.contains(expected), "{value}: {said}");
    }
}

#[test]
fn values_that_do_not_go_together_are_named() {
    let external =
        r#"clustermesh.apiserver.etcd.external={"endpoints":["https://e:2379"],"secretName":""}"#;
    let table: &[(&[&str], &str)] = &[
        (
            &["clustermesh.useAPIServer=true"],
            "cluster.id: a cluster that is in a mesh needs a number",
        ),
        (
            &["cluster.id=1"],
            "cluster.name: a cluster that is in a mesh needs a name",
        ),
        (
            &["cluster.name=a", "cluster.id=300"],
            "cluster.id: 300 is beyond clustermesh.maxConnectedClusters, 255",
        ),
        (
            &["ipv4.enabled=false"],
            "ipv4.enabled, ipv6.enabled: pods need addresses",
        ),
        (
            &["k8sServiceHost=192.0.2.1"],
            "k8sServiceHost, k8sServicePort: give both",
        ),
        (
            &["k8sServicePort=6443"],
            "k8sServiceHost, k8sServicePort: give both",
        ),
        (
            &["cni.install=false"],
            "cni.uninstall: what was not installed",
        ),
        (
            &[external],
            "clustermesh.apiserver.etcd.external: give endpoints and secretName",
        ),
        (
            &["clustermesh.config.enabled=true"],
            "clustermesh.config.enabled: peers are read by the mesh API server",
        ),
        (
            &[r#"clustermesh.config.clusters=[{"name":"c2"}]"#],
            "clustermesh.config.clusters: nobody reads them",
        ),
        (
            &[
                "cluster.name=a",
                "cluster.id=1",
                "clustermesh.useAPIServer=true",
                r#"clustermesh.config={"enabled":true,"clusters":[{"name":"c2","address":"a","ips":["192.0.2.1"]}]}"#,
            ],
            "clustermesh.config.clusters, c2: give address or ips",
        ),
        (
            &[
                "cluster.name=a",
                "cluster.id=1",
                "clustermesh.useAPIServer=true",
                r#"clustermesh.config={"enabled":true,"clusters":[{"name":"c2","tls":{"cert":"QQ=="}}]}"#,
            ],
            "clustermesh.config.clusters, c2: give tls.cert and tls.key",
        ),
        (
            &["clustermesh.apiserver.replicas=2"],
            "clustermesh.apiserver.replicas: each replica has a store of its own",
        ),
        (
            &["ipam.operator.clusterPoolIPv4PodCIDRList=[]"],
            "ipam.operator.clusterPoolIPv4PodCIDRList: IPv4 is enabled and has no range",
        ),
        (
            &[
                r#"ipam.operator.clusterPoolIPv4PodCIDRList=["11.0.0.0/8"]"#,
                "ipam.operator.clusterPoolIPv4MaskSize=8",
            ],
            "ipam.operator.clusterPoolIPv4MaskSize: ranges of nodes, /8, must be smaller than 11.0.0.0/8",
        ),
    ];
    for (values, expected) in table {
        let said = refused(values);
        assert!(said.contains(expected), "{values:?}: {said}");
    }
}
